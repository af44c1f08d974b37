package drive

import (
	"context"
	"errors"
	"slices"

	"parkade.dev/carlet/fleet"
)

// download gets a model for a vehicle; a refused URL makes it say hello, which brings a fresh one.
func (v *vehicle) download(ctx context.Context, digest, from string) {
	got, err := v.driver.fetcher(ctx, from, digest)
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.driver.now()
	v.fetching = false
	v.driver.counts.fetchedBytes.Add(got)
	switch {
	case err == nil:
		v.fetchWait = 0
		v.came(digest, now)
	case ctx.Err() == nil: // else it made way for what is assigned
		v.failed(digest, err, now)
	}
	v.proceed(now)
	v.prepare(now)
	v.news(now)
	v.step(now)
}

// came takes a file that was really downloaded, for whatever wants it now.
func (v *vehicle) came(digest string, now moment) {
	wanted := false
	for i := range v.held {
		if r := &v.held[i]; r.Digest == digest && !r.withdrawn {
			wanted = true
			v.fetched(r, now)
		}
	}
	if !wanted && digest == v.ahead.digest {
		v.keepReady(digest)
	}
}

func (v *vehicle) failed(digest string, err error, now moment) {
	for i := range v.held {
		if r := &v.held[i]; r.Digest == digest && !r.withdrawn {
			r.Reason, r.Message = "SourceUnavailable", err.Error()
		}
	}
	wait, next := pause(v.fetchWait, crowdedWait)
	v.fetchWait = next
	var turned *TurnedAway
	if errors.As(err, &turned) {
		wait = max(wait, turned.Wait)
	}
	v.fetchAt = now + wait
	v.plans = append(v.plans, plan{v.fetchAt, func(v *vehicle, at moment) {
		v.proceed(at)
		v.prepare(at)
	}})
	if errors.Is(err, ErrRefused) {
		v.greet = true
		v.forgetURL(digest)
	}
}

// forgetURL drops a URL that the store refused.
func (v *vehicle) forgetURL(digest string) {
	for i := range v.desired.Assignments {
		if v.desired.Assignments[i].Digest == digest {
			v.desired.Assignments[i].URL = ""
		}
	}
	for i := range v.desired.Stage {
		if v.desired.Stage[i].Digest == digest {
			v.desired.Stage[i].URL = ""
		}
	}
	v.fetchAt = 0 // a fresh one is tried at once
}

// forgetURLs drops what is not needed any more: a signed URL is the longest part of an assignment.
func (v *vehicle) forgetURLs() {
	for i := range v.desired.Assignments {
		for j := range v.held {
			r := &v.held[j]
			if a := &v.desired.Assignments[i]; r.Digest == a.Digest && (r.Phase != fleet.PhaseFetching || r.until != never) {
				a.URL = ""
			}
		}
	}
	for i := range v.desired.Stage {
		if file := &v.desired.Stage[i]; slices.Contains(v.models, file.Digest) {
			file.URL = ""
		}
	}
}
