package secrets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"parkade.dev/carlet/fleet"
)

// Entries of the Secrets, beside the files of carlet fleet init.
const (
	authorityCertificate = "ca.crt"
	authorityKey         = "ca.key"
	routersAuthorities   = "routers-ca.crt"
)

// mountedFiles are what pods mount; the others only who ends rights, or makes the rest again, needs.
var (
	mountedFiles = []string{
		fleet.ServerConfigFile, fleet.CarletCredentialsFile, "vehicles.seed", "pseudonyms.key", fleet.VehicleCAFile, "vehicles-ca.key",
	}
	otherFiles = []string{
		"operator.seed", "account.seed", "system.seed", "operator.jwt", "account.jwt", "system.jwt", "jetstream.key",
	}
)

// Options name the Secrets and say what is made where they are missing.
type Options struct {
	// TLS has the certificate of every server and its CA, Authority the CA's key, Fleet the keys of the fleet link. No pod
	// that runs on mounts the CA's key, or more of the fleet's than it needs.
	TLS, Authority, Fleet string
	// Names are the host names and addresses of the certificate, URI its name between routers.
	Names []string
	URI   string
	// Link is the configuration of nats-server; its directory is made and removed here.
	Link fleet.KeysOptions
}

// Keep makes what is missing, renews a certificate of its own that ends soon or lacks a name, and reports each Secret
// that it wrote.
func Keep(ctx context.Context, store *Store, o Options, now time.Time, wrote func(name, why string)) error {
	tls, err := keepCertificate(ctx, store, o, now, wrote)
	if err != nil {
		return err
	}
	return keepFleet(ctx, store, o, tls.Data[authorityCertificate], wrote)
}

func keepCertificate(ctx context.Context, store *Store, o Options, now time.Time, wrote func(name, why string)) (*corev1.Secret, error) {
	tls, err := store.read(ctx, o.TLS, corev1.SecretTypeTLS)
	if err != nil {
		return nil, err
	}
	made, err := store.read(ctx, o.Authority, corev1.SecretTypeOpaque)
	if err != nil {
		return nil, err
	}
	if tls.ResourceVersion != "" && made.ResourceVersion == "" {
		return tls, complete(tls, corev1.TLSCertKey, corev1.TLSPrivateKeyKey, authorityCertificate)
	}
	authority, err := openAuthority(made, now)
	if err != nil {
		return nil, err
	}
	why := "made"
	if tls.ResourceVersion != "" {
		certificate, err := parseCertificate(tls.Data[corev1.TLSCertKey])
		if err != nil {
			return nil, fmt.Errorf("%s of Secret %s: %w; delete the Secret, and it is made again", corev1.TLSCertKey, o.TLS, err)
		}
		if !aged(certificate, authority.certificate, o.Names, o.URI, now) {
			return tls, nil
		}
		why = "renewed"
	}
	if made.ResourceVersion == "" {
		if err := store.write(ctx, made); err != nil {
			return nil, err
		}
		wrote(o.Authority, "made")
	}
	issued, err := issue(authority, o.Names, o.URI, now)
	if err != nil {
		return nil, err
	}
	if tls.Data[corev1.TLSCertKey], tls.Data[corev1.TLSPrivateKeyKey], err = issued.encoded(); err != nil {
		return nil, err
	}
	tls.Data[authorityCertificate] = made.Data[authorityCertificate]
	if err := store.write(ctx, tls); err != nil {
		return nil, err
	}
	wrote(o.TLS, why)
	return tls, nil
}

// openAuthority reads the CA of a Secret, or fills the Secret with a new one.
func openAuthority(secret *corev1.Secret, now time.Time) (pair, error) {
	if secret.ResourceVersion != "" {
		authority, err := parsePair(secret.Data[authorityCertificate], secret.Data[authorityKey])
		if err != nil {
			return pair{}, fmt.Errorf("Secret %s %w; restore it from a backup", secret.Name, err)
		}
		return authority, nil
	}
	authority, err := newAuthority(now)
	if err != nil {
		return pair{}, err
	}
	secret.Data[authorityCertificate], secret.Data[authorityKey], err = authority.encoded()
	return authority, err
}

func keepFleet(ctx context.Context, store *Store, o Options, authority []byte, wrote func(name, why string)) error {
	secret, err := store.read(ctx, o.Fleet, corev1.SecretTypeOpaque)
	if err != nil {
		return err
	}
	why := "made"
	if secret.ResourceVersion != "" {
		if !ours(secret) {
			return complete(secret, append([]string{routersAuthorities}, mountedFiles...)...)
		}
		why = "changed"
	}
	before := fingerprint(secret)
	if err := fill(secret, o.Link); err != nil {
		return err
	}
	secret.Data[routersAuthorities] = slices.Concat(authority, secret.Data[fleet.VehicleCAFile])
	if fingerprint(secret) == before {
		return nil
	}
	if err := store.write(ctx, secret); err != nil {
		return err
	}
	wrote(secret.Name, why)
	return nil
}

// fill runs carlet fleet init over the entries of the Secret: it keeps the keys that are there.
func fill(secret *corev1.Secret, link fleet.KeysOptions) error {
	dir, err := os.MkdirTemp("", "fleet-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files := slices.Concat(mountedFiles, otherFiles)
	if err := writeFiles(dir, secret, files); err != nil {
		return err
	}
	link.Dir, link.Elsewhere = dir, true
	if _, err := fleet.InitKeys(link); err != nil {
		return err
	}
	for _, file := range files {
		if secret.Data[file], err = os.ReadFile(filepath.Join(dir, file)); err != nil {
			return err
		}
	}
	return nil
}

func writeFiles(dir string, secret *corev1.Secret, files []string) error {
	for _, file := range files {
		content, there := secret.Data[file]
		if !there {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Fetch writes the keys of the fleet link, and the CA, to a directory for the other commands of carlet fleet.
func Fetch(ctx context.Context, store *Store, o Options, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	parts := map[string][]string{
		o.Fleet: slices.Concat([]string{routersAuthorities}, mountedFiles, otherFiles),
		o.TLS:   {authorityCertificate},
	}
	for name, files := range parts {
		secret, err := store.read(ctx, name, corev1.SecretTypeOpaque)
		if err != nil {
			return err
		}
		if err := errors.Join(complete(secret, files...), writeFiles(dir, secret, files)); err != nil {
			return err
		}
	}
	return nil
}
