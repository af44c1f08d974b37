package secrets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// labels find what this package made. None of them is app.kubernetes.io/instance: by that GitOps tools know their own
// things, and prune those that no manifest names.
var labels = map[string]string{"app.kubernetes.io/part-of": "parkade", "app.kubernetes.io/component": "secrets"}

// Store is the Secrets of one namespace.
type Store struct {
	Kube      kubernetes.Interface
	Namespace string
}

// read is the Secret, or an empty one without a resource version that write will create.
func (s *Store) read(ctx context.Context, name string, kind corev1.SecretType) (*corev1.Secret, error) {
	secret, err := s.Kube.CoreV1().Secrets(s.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Namespace, Labels: maps.Clone(labels)},
			Type:       kind, Data: map[string][]byte{},
		}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("Secret %s: %w", name, err)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	return secret, nil
}

// write creates the Secret, or updates it as it was read.
func (s *Store) write(ctx context.Context, secret *corev1.Secret) error {
	var err error
	if secret.ResourceVersion == "" {
		_, err = s.Kube.CoreV1().Secrets(s.Namespace).Create(ctx, secret, metav1.CreateOptions{})
	} else {
		_, err = s.Kube.CoreV1().Secrets(s.Namespace).Update(ctx, secret, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("Secret %s: %w", secret.Name, err)
	}
	return nil
}

// complete refuses a Secret that is not there, or lacks an entry.
func complete(secret *corev1.Secret, entries ...string) error {
	if secret.ResourceVersion == "" {
		return fmt.Errorf("no Secret %s is in namespace %s", secret.Name, secret.Namespace)
	}
	for _, entry := range entries {
		if len(secret.Data[entry]) == 0 {
			return fmt.Errorf("Secret %s in namespace %s has no entry %s; add it", secret.Name, secret.Namespace, entry)
		}
	}
	return nil
}

// ours says that this package made a Secret.
func ours(secret *corev1.Secret) bool {
	for key, value := range labels {
		if secret.Labels[key] != value {
			return false
		}
	}
	return true
}

func fingerprint(secret *corev1.Secret) string {
	hash := sha256.New()
	for _, entry := range slices.Sorted(maps.Keys(secret.Data)) {
		fmt.Fprintf(hash, "%s\n%d\n%s", entry, len(secret.Data[entry]), secret.Data[entry])
	}
	return hex.EncodeToString(hash.Sum(nil))
}
