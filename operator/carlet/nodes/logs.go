package nodes

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	"github.com/virtual-kubelet/virtual-kubelet/node/api"
)

// followPause is how long a line may wait before who follows sees it.
const followPause = 500 * time.Millisecond

// wholeTail marks a request for all lines, which the library's options cannot tell from one for none.
type wholeTail struct{}

func withTail(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), wholeTail{}, !r.URL.Query().Has("tailLines")))
}

// logs are the journal of what a pod shows; with Follow they go on until the caller leaves or the pod does.
func (p *pods) logs(ctx context.Context, journal *journal, namespace, name string, options api.ContainerLogOpts) (io.ReadCloser, error) {
	pod, err := p.GetPod(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	if options.Previous {
		return nil, errdefs.InvalidInput("nothing of a former container is kept; without --previous, kubectl logs shows recent events")
	}
	tail := options.Tail
	if whole, _ := ctx.Value(wholeTail{}).(bool); whole {
		tail = -1
	}
	since := options.SinceTime
	if options.SinceSeconds > 0 {
		since = time.Now().Add(-time.Duration(options.SinceSeconds) * time.Second)
	}
	shown := place{workloadOf(pod), pod.Spec.NodeName}
	text, last := journal.text(shown, tail, since)
	if !options.Follow {
		return io.NopCloser(limited(strings.NewReader(text), options.LimitBytes)), nil
	}
	reader, writer := io.Pipe()
	go func() {
		_, err := io.WriteString(writer, text)
		tick := time.NewTicker(followPause)
		defer tick.Stop()
		for err == nil {
			select {
			case <-ctx.Done():
				err = ctx.Err()
				continue
			case <-tick.C:
			}
			if text, last = journal.after(shown, last); text != "" {
				_, err = io.WriteString(writer, text)
			} else if now, gone := p.GetPod(ctx, namespace, name); gone != nil || now.UID != pod.UID {
				break
			}
		}
		writer.CloseWithError(err) // nil is the end of the text
	}()
	return struct {
		io.Reader
		io.Closer
	}{limited(reader, options.LimitBytes), reader}, nil
}

func limited(text io.Reader, bytes int) io.Reader {
	if bytes > 0 {
		return io.LimitReader(text, int64(bytes))
	}
	return text
}
