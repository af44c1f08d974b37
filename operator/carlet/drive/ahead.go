package drive

import (
	"context"
	"slices"

	"parkade.dev/carlet/fleet"
)

// ahead is the file that is fetched before anybody needs it; operator/parkade/vehicle/staging.py.
type ahead struct {
	digest string
	left   int64              // bytes of a pretended download that are to come
	until  moment             // when a pretended download ends; never while none runs
	cancel context.CancelFunc // ends a real download; nil while none runs
}

// prepare goes on with the files that carlet wants ready: one by one, over links where that costs nothing, while the car
// may work and nothing that is assigned wants the link. What comes between stops it in the same instant.
func (v *vehicle) prepare(now moment) {
	a := &v.ahead
	if a.until <= now {
		a.until = never
		v.keepReady(a.digest)
		v.news(now)
	}
	next := v.nextAhead()
	if next == nil || next.Digest != a.digest {
		v.stopAhead(now)
	}
	if next == nil || a.until != never || v.fetching || v.fetchAt > now {
		return
	}
	if a.digest != next.Digest {
		a.digest, a.left = next.Digest, next.Bytes
	}
	if v.driver.fetcher == nil {
		a.until = now + v.driver.lasting(a.left)
		return
	}
	ctx, cancel := context.WithCancel(v.driver.stopped)
	a.cancel, v.fetching = cancel, true
	go v.download(ctx, next.Digest, next.URL)
}

// nextAhead is the file to fetch now; nil if there is none, or it has to wait.
func (v *vehicle) nextAhead() *fleet.Staged {
	if len(v.desired.Stage) == 0 || v.link != "WiFi" && v.link != "Ethernet" || v.refusedAs() != "" {
		return nil
	}
	for i := range v.held {
		if r := &v.held[i]; r.Phase == fleet.PhaseFetching && !r.withdrawn && r.Reason != waitingForURL {
			return nil
		}
	}
	for i := range v.desired.Stage {
		file := &v.desired.Stage[i]
		if file.URL != "" && file.Format == "onnx" && !slices.Contains(v.models, file.Digest) {
			return file
		}
	}
	return nil
}

// stopAhead ends a download under way; one that is pretended goes on later where it was, for whatever wants it then.
func (v *vehicle) stopAhead(now moment) {
	a := &v.ahead
	if a.until != never {
		a.left = int64((a.until - now).Seconds() * v.driver.options.Rate)
		a.until = never
	}
	if a.cancel != nil {
		a.cancel()
		a.cancel = nil
	}
}

// keepReady has a file that nothing is loaded from yet.
func (v *vehicle) keepReady(digest string) {
	v.own(digest)
	v.driver.counts.staged.Add(1)
	v.forgetURLs()
}

// own takes a file among those that the vehicle says it has.
func (v *vehicle) own(digest string) {
	if !slices.Contains(v.models, digest) {
		v.models = append(v.models, digest)
		slices.Sort(v.models)
	}
}
