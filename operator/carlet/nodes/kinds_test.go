package nodes

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAPoolsTermsAreReadAsTheManifestHasThem(t *testing.T) {
	for manifest, want := range map[string]string{
		`{"contract":{"links":["WiFi"]},"payout":{"perComputeHour":"0.04"},"energyPrice":{"perKWh":"0.31"}}`: `{"contract":{"links":["WiFi"]},"payout":{"perComputeHour":"0.04"},"energyPrice":{"perKWh":"0.31"}}`,
		`{"energyPrice":{"series":{"configMap":"prices","key":"price.csv"}}}`:                                `{}`,
		`{}`: `{}`,
	} {
		var spec map[string]any
		if err := json.Unmarshal([]byte(manifest), &spec); err != nil {
			t.Fatal(err)
		}
		pool, err := parsePool(&unstructured.Unstructured{Object: map[string]any{"spec": spec}})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := json.Marshal(pool.Terms); err != nil || string(text) != want {
			t.Errorf("%s is told as %s: %v", manifest, text, err)
		}
	}
}
