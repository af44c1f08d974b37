package identity

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
)

func TestAStormOfCarsIsAnsweredAsFastAsMayBeAndTheOthersAreSpread(t *testing.T) {
	const cars = 2000
	p := startPlane(t)
	var mu sync.Mutex
	var running sync.WaitGroup
	statuses, waits := map[int]int{}, map[string]int{}
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 32, MaxIdleConnsPerHost: 32}}
	for range cars {
		running.Go(func() {
			answer, err := client.Get(p.web.URL + "/v1/nonce")
			if err != nil {
				t.Error(err)
				return
			}
			answer.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			statuses[answer.StatusCode]++
			if answer.StatusCode == http.StatusTooManyRequests {
				waits[answer.Header.Get("Retry-After")]++
			}
		})
	}
	running.Wait()
	if statuses[http.StatusOK] < answersBurst || statuses[http.StatusOK]+statuses[http.StatusTooManyRequests] != cars {
		t.Errorf("answers by status: %v", statuses)
	}
	for text, number := range waits {
		if seconds, err := strconv.Atoi(text); err != nil || seconds < 10 || number > 2*answersPerSecond {
			t.Errorf("%d are asked to come back after %q", number, text)
		}
	}
}
