package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"parkade.dev/carlet/fleet"
)

// The Lease by which carlets know each other; docs/architecture.md, "Several carlets".
const (
	carletLease       = "parkade-carlet-"
	carletComponent   = "carlet"
	annotationTerm    = "parkade.dev/term"
	annotationMembers = "parkade.dev/members"
	annotationLink    = "parkade.dev/link"
	linkUp, linkLost  = "up", "lost"
	leaseCall         = 2 * time.Second // one call may take this long
)

// The fleet link may be down for linkPatience before carlets that have it take over: a server that restarts is back before. After
// that it has to be up for linkCatchUp, in which what vehicles said meanwhile is read.
const (
	linkPatience = 5 * time.Second
	linkCatchUp  = 3 * time.Second
)

// reach says whether carlet reaches the vehicles.
type reach struct {
	lostFor func(now time.Time) time.Duration
	lost    bool
	since   time.Time // up again; zero while it is not
}

func (r *reach) vehicles(now time.Time) bool {
	switch down := r.lostFor(now); {
	case down >= linkPatience:
		r.lost, r.since = true, time.Time{}
	case down > 0:
		r.since = time.Time{}
	case r.lost && r.since.IsZero():
		r.since = now
	case r.lost && now.Sub(r.since) >= linkCatchUp:
		r.lost = false
	}
	return !r.lost
}

// errSuperseded ends a carlet whose name another process has taken.
var errSuperseded = errors.New("another carlet has the same --id; give each its own, such as the name of its pod")

// member keeps carlet's own Lease, reads those of others, and says what is served.
type member struct {
	leases   coordinationclient.LeaseInterface
	id       string
	holder   string // of this process
	linked   func(now time.Time) bool
	changed  func() // called when what is served may have changed
	log      *slog.Logger
	held     bool // its Lease was written by this process
	members  *fleet.Membership
	acquired metav1.MicroTime
	version  string // of its own Lease as it was read last; empty if there was none

	// mu is held while vehicles are told, so that nothing is told by a share that others were told to be given up.
	mu    sync.Mutex
	share *fleet.Share
	until time.Time // no limit if zero
	known bool
}

func newMember(leases coordinationclient.LeaseInterface, id, holder string, linked func(time.Time) bool, changed func(), log *slog.Logger) *member {
	return &member{
		leases: leases, id: id, holder: holder, linked: linked, changed: changed, log: log,
		members: fleet.NewMembership(id), share: fleet.NoShare(id), acquired: metav1.NowMicro(),
	}
}

// using is what may be served now, which stands until release is called; false as long as it was never found out.
func (m *member) using(now time.Time) (share *fleet.Share, until time.Time, known bool, release func()) {
	m.mu.Lock()
	share, until = m.share, m.until
	if !until.IsZero() && !now.Before(until) {
		share = fleet.NoShare(m.id)
	}
	return share, until, m.known, m.mu.Unlock
}

// keep renews until the context ends, or another process takes the name.
func (m *member) keep(ctx context.Context) error {
	tick := time.NewTicker(fleet.MemberLook)
	defer tick.Stop()
	failing := false
	for {
		err := m.step(ctx)
		switch {
		case errors.Is(err, errSuperseded):
			return err
		case err != nil && !failing && ctx.Err() == nil:
			m.log.Warn("the carlets' Leases cannot be used; orders end until they can, unless this is the only carlet", "error", err)
		case err == nil && failing:
			m.log.Info("the carlets' Leases can be used again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// step looks at all Leases, writes its own if it has to, and takes what it may serve.
func (m *member) step(ctx context.Context) error {
	if err := m.look(ctx); err != nil {
		return err
	}
	now := time.Now()
	want, due := m.members.Propose(m.linked(now), now)
	if due {
		m.members.Begin(want)
		m.take()
		began := time.Now()
		if err := m.write(ctx, want); err != nil {
			return err
		}
		m.members.Wrote(want, began)
		m.held = true
		m.take()
		if err := m.look(ctx); err != nil {
			return err
		}
	}
	m.take()
	return m.forget(ctx)
}

// take sets what is served.
func (m *member) take() {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, known := m.share, m.known
	m.share, m.until = m.members.Take(time.Now())
	m.known = m.members.Joined()
	if known && reflect.DeepEqual(before, m.share) {
		return
	}
	m.log.Info("cells are shared out", "within", m.share.Within, "without", m.share.Without)
	m.changed()
}

// look reads the Leases from the store itself: a read that might be behind our own writing would prove nothing.
func (m *member) look(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, leaseCall)
	defer cancel()
	list, err := m.leases.List(bounded, metav1.ListOptions{LabelSelector: labelComponent + "=" + carletComponent})
	if err != nil {
		return err
	}
	var leases []fleet.CarletLease
	m.version = ""
	for i := range list.Items {
		if list.Items[i].Name == m.leaseName() {
			m.version = list.Items[i].ResourceVersion
		}
		lease, ok := parseCarlet(&list.Items[i])
		if !ok {
			continue
		}
		if lease.ID == m.id && lease.Holder != m.holder && m.held {
			return errSuperseded
		}
		leases = append(leases, lease)
	}
	m.members.Look(leases, time.Now())
	return nil
}

// parseCarlet reads a carlet's Lease; false if it is none.
func parseCarlet(lease *coordinationv1.Lease) (fleet.CarletLease, bool) {
	id, isCarlet := strings.CutPrefix(lease.Name, carletLease)
	term, err := strconv.ParseInt(lease.Annotations[annotationTerm], 10, 64)
	if !isCarlet || err != nil || lease.Spec.HolderIdentity == nil {
		return fleet.CarletLease{}, false
	}
	return fleet.CarletLease{
		ID: id, Holder: *lease.Spec.HolderIdentity, Mark: lease.ResourceVersion, Term: term,
		View:   strings.Split(lease.Annotations[annotationMembers], ","),
		Linked: lease.Annotations[annotationLink] == linkUp,
	}, true
}

// write succeeds only if nothing was written since the last look: not by another process, and by no call of our own that was
// given up and came late.
func (m *member) write(ctx context.Context, p fleet.Publication) error {
	bounded, cancel := context.WithTimeout(ctx, leaseCall)
	defer cancel()
	link := linkLost
	if p.Linked {
		link = linkUp
	}
	now, seconds := metav1.NowMicro(), int32(fleet.MemberLife.Seconds())
	lease := &coordinationv1.Lease{
		TypeMeta: metav1.TypeMeta{APIVersion: coordinationv1.SchemeGroupVersion.String(), Kind: "Lease"},
		ObjectMeta: metav1.ObjectMeta{
			Name: m.leaseName(), ResourceVersion: m.version, Labels: map[string]string{labelComponent: carletComponent},
			Annotations: map[string]string{
				annotationTerm: strconv.FormatInt(p.Term, 10), annotationMembers: strings.Join(p.View, ","), annotationLink: link,
			},
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &m.holder, LeaseDurationSeconds: &seconds, AcquireTime: &m.acquired, RenewTime: &now,
		},
	}
	if m.version == "" {
		_, err := m.leases.Create(bounded, lease, metav1.CreateOptions{FieldManager: fieldManager})
		return err
	}
	text, err := json.Marshal(lease)
	if err == nil {
		_, err = m.leases.Patch(bounded, m.leaseName(), types.MergePatchType, text, metav1.PatchOptions{FieldManager: fieldManager})
	}
	return err
}

func (m *member) leaseName() string { return carletLease + m.id }

// forget removes the Leases of carlets that ended long ago without a word.
func (m *member) forget(ctx context.Context) error {
	for _, gone := range m.members.Forgotten(time.Now()) {
		mark := gone.Mark
		options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &mark}}
		err := m.leases.Delete(ctx, carletLease+gone.ID, options)
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("a Lease that ran out is not removed yet: %w", err)
		}
	}
	return nil
}

// leave gives everything up at once; nothing may be told any more when it is called. A Lease that another process has taken is left
// alone.
func (m *member) leave(ctx context.Context) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseCall)
	defer cancel()
	lease, err := m.leases.Get(bounded, m.leaseName(), metav1.GetOptions{})
	if err == nil && lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity == m.holder {
		options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &lease.ResourceVersion}}
		err = m.leases.Delete(bounded, m.leaseName(), options)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		m.log.Warn("carlet's Lease is not removed; others take its cells when it runs out", "error", err)
	}
}
