package secrets

import (
	"bytes"
	"context"
	"crypto/x509"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/internal/testplane"
)

// installation is the Secrets of a namespace of a real API server.
type installation struct {
	*testing.T
	store   *Store
	options Options
	now     time.Time
}

func newInstallation(t *testing.T, cluster *testplane.Cluster, namespace string) *installation {
	t.Helper()
	body := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := cluster.Kube.CoreV1().Namespaces().Create(t.Context(), body, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return &installation{T: t, store: &Store{Kube: cluster.Kube, Namespace: namespace}, now: time.Now(), options: Options{
		TLS: "parkade-tls", Authority: "parkade-ca", Fleet: "parkade-fleet",
		Names: []string{"parkade-router", "carlet." + namespace + ".svc", "127.0.0.1"}, URI: "parkade://router/parkade",
		Link: fleet.KeysOptions{
			Host: "0.0.0.0", Port: 4222, JetStreamDir: "/data/jetstream", ConnectRate: 500,
			TLSCert: "/etc/parkade/tls/tls.crt", TLSKey: "/etc/parkade/tls/tls.key", CA: "/etc/parkade/tls/ca.crt",
		},
	}}
}

// keep runs Keep and returns what it wrote.
func (i *installation) keep() map[string]string {
	i.Helper()
	wrote := map[string]string{}
	if err := Keep(context.Background(), i.store, i.options, i.now, func(name, why string) { wrote[name] = why }); err != nil {
		i.Fatal(err)
	}
	return wrote
}

func (i *installation) data(name string) map[string][]byte {
	i.Helper()
	secret, err := i.store.Kube.CoreV1().Secrets(i.store.Namespace).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		i.Fatal(err)
	}
	return secret.Data
}

func (i *installation) expect(what string, wrote, want map[string]string) {
	i.Helper()
	if !maps.Equal(wrote, want) {
		i.Errorf("%s: %v was written, want %v", what, wrote, want)
	}
}

func TestSecretsAreMadeOnceAndKept(t *testing.T) {
	cluster := testplane.StartCluster(t)
	t.Run("made and kept", func(t *testing.T) { madeAndKept(newInstallation(t, cluster, "made")) })
	t.Run("renewed", func(t *testing.T) { renewed(newInstallation(t, cluster, "renewed")) })
	t.Run("somebody else's", func(t *testing.T) { somebodyElses(newInstallation(t, cluster, "others")) })
	t.Run("fetched", func(t *testing.T) { fetched(newInstallation(t, cluster, "fetched")) })
}

func madeAndKept(i *installation) {
	i.expect("at first", i.keep(), map[string]string{"parkade-ca": "made", "parkade-tls": "made", "parkade-fleet": "made"})
	tls, keys := i.data("parkade-tls"), i.data("parkade-fleet")
	certificate, err := parseCertificate(tls["tls.crt"])
	if err != nil {
		i.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(tls["ca.crt"])
	for _, name := range i.options.Names {
		usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if _, err := certificate.Verify(x509.VerifyOptions{DNSName: name, Roots: pool, KeyUsages: usages}); err != nil {
			i.Errorf("the certificate is not good for %s: %v", name, err)
		}
	}
	if len(certificate.URIs) != 1 || certificate.URIs[0].String() != i.options.URI {
		i.Errorf("the certificate's URIs are %v", certificate.URIs)
	}
	if _, there := tls["ca.key"]; there {
		i.Error("what pods mount has the CA's key")
	}
	if want := append(tls["ca.crt"], keys["vehicles-ca.crt"]...); !bytes.Equal(keys["routers-ca.crt"], want) {
		i.Error("routers do not believe both the CA and that of vehicles")
	}
	if conf := string(keys["nats.conf"]); !strings.Contains(conf, `store_dir: "/data/jetstream"`) || !strings.Contains(conf, `"/etc/parkade/tls/tls.key"`) {
		i.Errorf("nats.conf is not for the pod: %s", conf)
	}
	time.Sleep(1100 * time.Millisecond) // signatures name the second they were made in
	i.expect("again", i.keep(), map[string]string{})
	i.options.Link.ConnectRate = 100
	i.expect("with another setting of nats-server", i.keep(), map[string]string{"parkade-fleet": "changed"})
	for _, file := range []string{"pseudonyms.key", "operator.seed", "carlet.creds", "jetstream.key"} {
		if !bytes.Equal(i.data("parkade-fleet")[file], keys[file]) {
			i.Errorf("%s is another one now", file)
		}
	}
}

func renewed(i *installation) {
	i.keep()
	first := i.data("parkade-tls")
	i.now = i.now.Add(CertificateLife - renewedBefore - time.Hour)
	i.expect("long before its end", i.keep(), map[string]string{})
	i.now = i.now.Add(2 * time.Hour)
	i.expect("when a third of its life is left", i.keep(), map[string]string{"parkade-tls": "renewed"})
	second := i.data("parkade-tls")
	if bytes.Equal(first["tls.crt"], second["tls.crt"]) || !bytes.Equal(first["ca.crt"], second["ca.crt"]) {
		i.Error("want another certificate of the same CA")
	}
	i.options.Names = append(i.options.Names, "cars.example")
	i.expect("with a further name", i.keep(), map[string]string{"parkade-tls": "renewed"})
	if err := i.store.Kube.CoreV1().Secrets(i.store.Namespace).Delete(context.Background(), "parkade-tls", metav1.DeleteOptions{}); err != nil {
		i.Fatal(err)
	}
	i.expect("after it was deleted", i.keep(), map[string]string{"parkade-tls": "made"})
	if !bytes.Equal(first["ca.crt"], i.data("parkade-tls")["ca.crt"]) {
		i.Error("the CA is another one: cars would believe nobody")
	}
}

func somebodyElses(i *installation) {
	authority, err := newAuthority(i.now)
	if err != nil {
		i.Fatal(err)
	}
	own, err := issue(authority, []string{"elsewhere"}, "parkade://router/own", i.now)
	if err != nil {
		i.Fatal(err)
	}
	data := map[string][]byte{}
	if data["tls.crt"], data["tls.key"], err = own.encoded(); err != nil {
		i.Fatal(err)
	}
	body := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "parkade-tls"}, Type: corev1.SecretTypeTLS, Data: data}
	create := func() error {
		_, err := i.store.Kube.CoreV1().Secrets(i.store.Namespace).Create(context.Background(), body, metav1.CreateOptions{})
		return err
	}
	if err := create(); err != nil {
		i.Fatal(err)
	}
	err = Keep(context.Background(), i.store, i.options, i.now, func(string, string) {})
	if err == nil || !strings.Contains(err.Error(), "Secret parkade-tls in namespace others has no entry ca.crt") {
		i.Errorf("a certificate without its CA gives %v", err)
	}
	if data["ca.crt"], _, err = authority.encoded(); err != nil {
		i.Fatal(err)
	}
	if _, err := i.store.Kube.CoreV1().Secrets(i.store.Namespace).Update(context.Background(), body, metav1.UpdateOptions{}); err != nil {
		i.Fatal(err)
	}
	i.now = i.now.Add(CertificateLife)
	i.expect("beside a certificate of one's own, of other names and at its end", i.keep(), map[string]string{"parkade-fleet": "made"})
	if !bytes.HasPrefix(i.data("parkade-fleet")["routers-ca.crt"], data["ca.crt"]) {
		i.Error("routers do not believe the CA of that certificate")
	}
}

func fetched(i *installation) {
	dir := filepath.Join(i.TempDir(), "keys")
	if err := Fetch(context.Background(), i.store, i.options, dir); err == nil || !strings.Contains(err.Error(), "no Secret parkade-") {
		i.Errorf("without Secrets: %v", err)
	}
	i.keep()
	if err := Fetch(context.Background(), i.store, i.options, dir); err != nil {
		i.Fatal(err)
	}
	keys, err := fleet.OpenKeys(dir)
	if err != nil {
		i.Fatal(err)
	}
	if _, err := keys.Enroll(fleet.Key{Fleet: "owners-ca", Vehicle: "v-1"}, time.Hour, i.now); err != nil {
		i.Error(err)
	}
	for _, file := range []string{"ca.crt", "operator.seed"} {
		found, err := os.Stat(filepath.Join(dir, file))
		if err != nil || found.Mode().Perm() != 0o600 {
			i.Errorf("%s: %v, %v", file, found, err)
		}
	}
}
