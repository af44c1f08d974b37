package fleet

import (
	"reflect"
	"testing"
	"time"
)

func TestLastOrders(t *testing.T) {
	orders, others := []Order{{Workload: "n/w", Digest: "d", Replicas: 2}}, []Order{{Workload: "n/x", Digest: "e", Replicas: 1}}
	whole := Cell{Name: "home-0", Pool: "home", UID: "1", Orders: orders}
	emptied := Cell{Name: "home-0", Pool: "home", UID: "1"}
	again := Cell{Name: "home-0", Pool: "home", UID: "2"}
	ordered := Cell{Name: "home-0", Pool: "home", UID: "2", Orders: others}
	spared := Cell{Name: "home-0", Pool: "home", UID: "2", Orders: orders}
	home, leaving := []Pool{{Name: "home"}}, []Pool{{Name: "home", Deleting: true}}
	const grace = time.Minute
	type look struct {
		after time.Duration
		cells []Cell
		pools []Pool
		want  []Cell
	}
	for name, looks := range map[string][]look{
		"a cell that exists is as it is": {{0, []Cell{whole}, home, []Cell{whole}}, {1, []Cell{emptied}, home, []Cell{emptied}}},
		"a vanished cell is kept for the grace": {
			{0, []Cell{whole}, home, []Cell{whole}}, {time.Second, nil, home, []Cell{whole}}, {grace, nil, home, []Cell{whole}},
			{grace + time.Second, nil, home, []Cell{}}, {grace + 2*time.Second, nil, home, []Cell{}},
		},
		"not without its pool":            {{0, []Cell{whole}, home, []Cell{whole}}, {1, nil, nil, []Cell{}}, {2, nil, home, []Cell{}}},
		"not when the pool is on its way": {{0, []Cell{whole}, home, []Cell{whole}}, {1, nil, leaving, []Cell{}}},
		"made again, it has its last orders until it is given others": {
			{0, []Cell{whole}, home, []Cell{whole}}, {1, nil, home, []Cell{whole}}, {2, []Cell{again}, home, []Cell{spared}},
			{3, []Cell{ordered}, home, []Cell{ordered}}, {4, []Cell{again}, home, []Cell{again}},
		},
		"made again unseen": {{0, []Cell{whole}, home, []Cell{whole}}, {1, []Cell{again}, home, []Cell{spared}}},
		"made again and never given any": {
			{0, []Cell{whole}, home, []Cell{whole}}, {1, []Cell{again}, home, []Cell{spared}}, {grace + 1, []Cell{again}, home, []Cell{again}},
		},
		"a second loss has a grace of its own": {
			{0, []Cell{whole}, home, []Cell{whole}}, {1, nil, home, []Cell{whole}}, {2, []Cell{ordered}, home, []Cell{ordered}},
			{grace, nil, home, []Cell{ordered}}, {grace + time.Second, nil, home, []Cell{ordered}},
		},
	} {
		memory := NewLastOrders(grace)
		for i, l := range looks {
			if got := memory.Keep(l.cells, l.pools, noon.Add(l.after)); !reflect.DeepEqual(got, l.want) {
				t.Errorf("%s, look %d: %+v, want %+v", name, i, got, l.want)
			}
		}
	}
}
