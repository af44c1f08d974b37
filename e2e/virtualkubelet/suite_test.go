// Package virtualkubelet runs the end-to-end suite of the virtual-kubelet library against the node of a cell. It is a module of its
// own, so that what the suite needs is no dependency of carlet; tests/fleet/test_upstream.py starts the plane and runs it.
package virtualkubelet

import (
	"flag"
	"testing"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/test/e2e"
)

var (
	kubeconfig = flag.String("kubeconfig", "", "kubeconfig of the cluster")
	namespace  = flag.String("namespace", "", "namespace in which the suite makes its pods")
	node       = flag.String("node-name", "", "node of the cell")
)

// patience is how long the suite waits for each thing; a cell takes seconds.
const patience = time.Minute

// notApplicable are tests of the suite that no cell can pass, with the reason, which docs/carlet.md repeats.
var notApplicable = map[string]string{
	"TestGetStatsSummary":    "asks a pod that is named as the node, in which upstream runs its kubelet, and cars tell nobody what a model uses",
	"TestGetMetricsResource": "likewise",
}

func TestUpstream(t *testing.T) {
	suite := e2e.NewEndToEndTestSuite(e2e.EndToEndTestSuiteConfig{
		Kubeconfig: *kubeconfig, Namespace: *namespace, NodeName: *node, WatchTimeout: patience,
		ShouldSkipTest: func(name string) bool {
			reason, found := notApplicable[name]
			if found {
				t.Logf("%s does not apply: %s", name, reason)
			}
			return found
		},
	})
	suite.Run(t)
}
