package nodes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/virtual-kubelet/virtual-kubelet/node/api"
	corev1 "k8s.io/api/core/v1"
)

// vehicleURIScheme marks certificates of vehicles, signed by the same CA; they may not read logs.
const vehicleURIScheme = "parkade"

// KubeletTLS is the server side of the kubelet API: only clients with a certificate of the CA, and no vehicle.
func KubeletTLS(certificate tls.Certificate, ca *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    ca,
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, uri := range state.PeerCertificates[0].URIs {
				if uri.Scheme == vehicleURIScheme {
					return fmt.Errorf("a vehicle's certificate does not open the kubelet API")
				}
			}
			return nil
		},
	}
}

// kubeletHandler answers the API server's calls: logs; exec and its like with a sentence.
func (p *pods) kubeletHandler(journal *journal) http.Handler {
	library := api.PodHandler(api.PodHandlerConfig{
		GetContainerLogs: func(ctx context.Context, namespace, name, _ string, options api.ContainerLogOpts) (io.ReadCloser, error) {
			return p.logs(ctx, journal, namespace, name, options)
		},
		GetPods: p.GetPods,
		GetPodsFromKubernetes: func(ctx context.Context) ([]*corev1.Pod, error) {
			return p.GetPods(ctx)
		},
	}, true) // with /runningpods/, which a kubelet answers too
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, verb := range []string{"/exec/", "/attach/", "/portForward/", "/run/"} {
			if strings.HasPrefix(r.URL.Path, verb) {
				http.Error(w, "vehicles run no shells: exec, attach and port-forward are not supported; kubectl logs shows recent events", http.StatusNotImplemented)
				return
			}
		}
		library.ServeHTTP(w, withTail(r))
	})
}
