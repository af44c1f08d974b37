package testplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Cluster is a real API server with Kubernetes' own controllers, for one test.
type Cluster struct {
	Authority  *Authority
	Kubeconfig string
	Kube       kubernetes.Interface
	Custom     dynamic.Interface
}

// StartCluster starts etcd, kube-apiserver and kube-controller-manager; the latter evicts pods and deletes nodes as it does
// everywhere, which is what carlet has to live with.
func StartCluster(t *testing.T) *Cluster {
	t.Helper()
	etcd := sibling(t, "PARKADE_ETCD", "etcd")
	apiserver := sibling(t, "PARKADE_KUBE_APISERVER", "kube-apiserver")
	manager := sibling(t, "PARKADE_KUBE_CONTROLLER_MANAGER", "kube-controller-manager")
	dir := t.TempDir()
	authority := NewAuthority(t, dir)
	serving := authority.Issue(t, "apiserver", "")
	kubelet := authority.Issue(t, "apiserver-kubelet-client", "system:masters")
	accounts := authority.Issue(t, "accounts", "")

	store, peers, secure, managing := FreePort(t), FreePort(t), FreePort(t), FreePort(t)
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", store), fmt.Sprintf("http://127.0.0.1:%d", peers)
	AwaitPort(t, Start(t, etcd, "--data-dir="+filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+client, "--advertise-client-urls="+client, "--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer), store)
	server := Start(t, apiserver, "--etcd-servers="+client, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", secure), "--tls-cert-file="+serving.Cert, "--tls-private-key-file="+serving.Key,
		"--client-ca-file="+authority.File, "--kubelet-certificate-authority="+authority.File,
		"--kubelet-client-certificate="+kubelet.Cert, "--kubelet-client-key="+kubelet.Key,
		"--kubelet-preferred-address-types=InternalIP", "--authorization-mode=RBAC", "--endpoint-reconciler-type=none",
		"--service-account-key-file="+accounts.Cert, "--service-account-signing-key-file="+accounts.Key,
		"--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16")

	c := &Cluster{Authority: authority, Kubeconfig: filepath.Join(dir, "kubeconfig")}
	writeKubeconfig(t, c.Kubeconfig, fmt.Sprintf("https://127.0.0.1:%d", secure), authority.File, authority.Issue(t, "admin", "system:masters"))
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 200, 400
	c.connect(t, config)
	AwaitPort(t, server, secure)
	Eventually(t, "the API server is ready", func() error {
		return c.Kube.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(context.Background()).Error()
	})
	Start(t, manager, "--kubeconfig="+c.Kubeconfig, "--authentication-kubeconfig="+c.Kubeconfig,
		"--authorization-kubeconfig="+c.Kubeconfig, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", managing),
		"--root-ca-file="+authority.File, "--service-account-private-key-file="+accounts.Key, "--leader-elect=false",
		"--cert-dir="+filepath.Join(dir, "manager"))
	return c
}

func (c *Cluster) connect(t *testing.T, config *rest.Config) {
	t.Helper()
	var err error
	if c.Kube, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if c.Custom, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
}

func writeKubeconfig(t *testing.T, file, server, ca string, pair Pair) {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: server, CertificateAuthority: ca}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{ClientCertificate: pair.Cert, ClientKey: pair.Key}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
}

// sibling finds a server by its own variable, or beside nats-server, where the local plane builds all of them.
func sibling(t *testing.T, variable, name string) string {
	t.Helper()
	if beside := os.Getenv("PARKADE_NATS_SERVER"); beside != "" && os.Getenv(variable) == "" {
		path := filepath.Join(filepath.Dir(beside), name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return program(t, variable, name)
}

// Within waits for a condition for a time of its own, where the test promises one.
func Within(t *testing.T, limit time.Duration, what string, condition func() error) time.Duration {
	t.Helper()
	began := time.Now()
	Eventually(t, what, condition)
	took := time.Since(began)
	if took > limit {
		t.Errorf("%s took %s, promised within %s", what, took, limit)
	}
	return took
}
