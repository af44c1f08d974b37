package models

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// How often it is looked whether a file is elsewhere, and how long a look and a presigned URL may last. A bucket that is gone
// is found out by the second try of the first car that was sent there in vain.
const (
	lookAgain    = 10 * time.Second
	lookTimeout  = 5 * time.Second
	presignedFor = time.Hour
)

// Elsewhere is the user's own bucket or CDN with the same layout as the store: sha256/<hex> under a URL. Vehicles are
// redirected there for files that it has at their full size; what they get is checked by digest in the car.
type Elsewhere struct {
	base   *url.URL
	bucket *minio.Client // nil where URLs need no signature
	client *http.Client
	// patience bounds a look.
	patience time.Duration
	mu       sync.Mutex
	seen     map[string]look
}

type look struct {
	at   time.Time
	size int64 // 0 if it is not there
}

// NewElsewhere reads where files are: https://HOST/PATH is asked as it is, s3+https://HOST/BUCKET/PATH by presigned URLs
// with the credentials of the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION).
func NewElsewhere(text string, client *http.Client, region string) (*Elsewhere, error) {
	base, err := url.Parse(text)
	if err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" ||
		base.Scheme != "https" && base.Scheme != "s3+https" {
		return nil, fmt.Errorf("%q is not where vehicles can be sent: write https://HOST/PATH, or s3+https://HOST/BUCKET/PATH", text)
	}
	e := &Elsewhere{base: base, client: client, patience: lookTimeout, seen: map[string]look{}}
	if base.Scheme == "https" {
		return e, nil
	}
	if strings.Trim(base.Path, "/") == "" {
		return nil, fmt.Errorf("%q names no bucket: write s3+https://HOST/BUCKET/PATH", text)
	}
	e.bucket, err = minio.New(base.Host, &minio.Options{
		Creds: credentials.NewEnvAWS(), Secure: true, Region: region, Transport: client.Transport,
	})
	return e, err
}

// URL is where a vehicle finds a file of so many bytes; empty if it is not there, or nobody answers.
func (e *Elsewhere) URL(ctx context.Context, digest string, size int64, now time.Time) string {
	e.mu.Lock()
	last, known := e.seen[digest]
	due := !known || now.Sub(last.at) >= lookAgain
	if due { // one looks, and others believe what was seen last
		e.seen[digest] = look{at: now, size: last.size}
	}
	e.mu.Unlock()
	if due {
		last = look{at: now, size: e.sizeOf(ctx, digest)}
		e.mu.Lock()
		e.seen[digest] = last
		e.mu.Unlock()
	}
	if last.size != size {
		return ""
	}
	target, err := e.address(ctx, http.MethodGet, digest)
	if err != nil {
		return ""
	}
	return target
}

func (e *Elsewhere) address(ctx context.Context, method, digest string) (string, error) {
	if e.bucket == nil {
		return e.base.JoinPath("sha256", digest).String(), nil
	}
	bucket, prefix, _ := strings.Cut(strings.Trim(e.base.Path, "/"), "/")
	object := strings.TrimPrefix(prefix+"/sha256/"+digest, "/")
	signed, err := e.bucket.Presign(ctx, method, bucket, object, presignedFor, nil)
	if err != nil {
		return "", err
	}
	return signed.String(), nil
}

// sizeOf is the size of a file that is there; 0 if it is not. It is looked for everybody, so that it does not end with the
// request of one.
func (e *Elsewhere) sizeOf(ctx context.Context, digest string) int64 {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.patience)
	defer cancel()
	target, err := e.address(ctx, http.MethodHead, digest)
	if err != nil {
		return 0
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, target, nil)
	if err != nil {
		return 0
	}
	answer, err := e.client.Do(request)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0
	}
	return max(answer.ContentLength, 0)
}
