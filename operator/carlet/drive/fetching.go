package drive

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrRefused is a signed URL that is not good any more; a hello brings a fresh one.
var ErrRefused = errors.New("the URL is refused")

// TurnedAway is a store that has too much to do, and says for how long.
type TurnedAway struct{ Wait time.Duration }

func (e *TurnedAway) Error() string { return "the store has too much to do; asked again later" }

// turnedAway reads Retry-After, in seconds.
func turnedAway(answer *http.Response) error {
	seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		seconds = 0
	}
	return &TurnedAway{min(time.Duration(seconds)*time.Second, longestAsked)}
}

// fetchesAtOnce bounds downloads of all vehicles together; each vehicle has one at a time.
const fetchesAtOnce = 64

// piece is how many bytes one request with Range asks for.
const piece = 8 << 20

// NewFetch downloads models by Range as a car with a poor link does, piece by piece, and compares the digest.
// With firstPiece it asks for the first bytes alone and believes the rest.
func NewFetch(config *tls.Config, firstPiece bool) Fetch {
	places := make(chan struct{}, fetchesAtOnce)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: config, MaxIdleConnsPerHost: fetchesAtOnce, ForceAttemptHTTP2: true,
	}}
	return func(ctx context.Context, url, digest string) (int64, error) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		sum, got := sha256.New(), int64(0)
		for {
			n, total, err := getPiece(ctx, client, url, got, sum)
			got += n
			if err != nil || firstPiece {
				return got, err
			}
			if got >= total {
				break
			}
		}
		if hex.EncodeToString(sum.Sum(nil)) != digest {
			return got, errors.New("the bytes are not those of the digest")
		}
		return got, nil
	}
}

// getPiece copies one range and returns its bytes and those of the whole.
func getPiece(ctx context.Context, client *http.Client, url string, from int64, to io.Writer) (n, total int64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, errors.New("the URL is malformed")
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, from+piece-1))
	answer, err := client.Do(request)
	if err != nil {
		return 0, 0, errors.New("the store does not answer") // the error of net/http has the signed URL in it
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusPartialContent:
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return 0, 0, fmt.Errorf("%w with %d", ErrRefused, answer.StatusCode)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return 0, 0, turnedAway(answer)
	default:
		return 0, 0, fmt.Errorf("the store answers %d to a range", answer.StatusCode)
	}
	_, size, _ := strings.Cut(answer.Header.Get("Content-Range"), "/")
	if total, err = strconv.ParseInt(size, 10, 64); err != nil {
		return 0, 0, errors.New("the store does not say how large the model is")
	}
	n, err = io.Copy(to, answer.Body)
	return n, total, err
}
