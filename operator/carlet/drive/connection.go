package drive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"parkade.dev/carlet/fleet"
)

// How long the agent in the car waits for a connection, and for the answer to a ping.
const patience = 10 * time.Second

// readBuffer is small because a driver has thousands; a desired set arrives in a buffer of its own.
const readBuffer = 512

// connection is one vehicle's connection to nats-server. It speaks what a vehicle needs of the protocol and no more: the
// official client keeps 32 KiB of buffers and three goroutines for each connection, which bounds a driver to a fifth of
// the vehicles.
type connection struct {
	socket  *tls.Conn
	reader  *bufio.Reader
	resumed bool
}

// endpoint says where and as whom to dial.
type endpoint struct {
	address string // HOST:PORT
	tls     *tls.Config
	key     fleet.Key
	pass    *pass
	traffic *traffic
}

// traffic counts what connections carry, TLS included, TCP and IP not.
type traffic struct {
	bytesUp, bytesDown   atomic.Int64
	writesUp, readsDown  atomic.Int64
	dials, refused, lost atomic.Int64
	resumed, connected   atomic.Int64
}

// metered counts bytes below TLS.
type metered struct {
	net.Conn
	traffic *traffic
}

func (m metered) Read(buffer []byte) (int, error) {
	n, err := m.Conn.Read(buffer)
	m.traffic.bytesDown.Add(int64(n))
	m.traffic.readsDown.Add(1)
	return n, err
}

func (m metered) Write(buffer []byte) (int, error) {
	n, err := m.Conn.Write(buffer)
	m.traffic.bytesUp.Add(int64(n))
	m.traffic.writesUp.Add(1)
	return n, err
}

// greeting is what we need of the server's INFO.
type greeting struct {
	Nonce       string `json:"nonce"`
	TLSRequired bool   `json:"tls_required"`
}

// dial connects, proves who the vehicle is and subscribes to its desired sets.
func dial(ctx context.Context, e endpoint) (*connection, error) {
	e.traffic.dials.Add(1)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", e.address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = raw.SetDeadline(deadline)
	connected, err := greet(ctx, metered{raw, e.traffic}, e)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	_ = raw.SetDeadline(time.Time{})
	return connected, nil
}

func greet(ctx context.Context, raw net.Conn, e endpoint) (*connection, error) {
	line, err := readInfo(raw)
	if err != nil {
		return nil, err
	}
	line, rest, _ := bytes.Cut(line, []byte("\r\n"))
	if after, refused := bytes.CutPrefix(rest, []byte("-ERR")); refused { // before TLS: it is throttled
		return nil, fmt.Errorf("the server says %s", bytes.TrimSpace(after))
	}
	var info greeting
	if err := json.Unmarshal(bytes.TrimPrefix(line, []byte("INFO ")), &info); err != nil {
		return nil, fmt.Errorf("%s is no nats-server: %w", e.address, err)
	}
	if !info.TLSRequired {
		return nil, fmt.Errorf("%s does not speak TLS; a vehicle tells it nothing", e.address)
	}
	socket := tls.Client(raw, e.tls)
	if err := socket.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	c := &connection{socket, bufio.NewReaderSize(socket, readBuffer), socket.ConnectionState().DidResume}
	signature, err := e.pass.pair.Sign([]byte(info.Nonce))
	if err != nil {
		return nil, err
	}
	connect, err := json.Marshal(map[string]any{
		"jwt": e.pass.token, "sig": base64.RawURLEncoding.EncodeToString(signature), "name": e.key.Fleet + "." + e.key.Vehicle,
		"lang": "go", "version": "carlet-drive", "protocol": 1, "verbose": false, "pedantic": false, "tls_required": true,
	})
	if err != nil {
		return nil, err
	}
	err = c.send(fmt.Appendf(nil, "CONNECT %s\r\nSUB %s 1\r\nPING\r\n", connect, fleet.Subject(e.key, fleet.KindDesired)))
	if err != nil {
		return nil, err
	}
	for {
		message, pong, err := c.next()
		if err != nil {
			return nil, err
		}
		if pong && message == nil {
			return c, nil
		}
	}
}

// readInfo reads the server's first line without reading on: what follows is TLS.
func readInfo(raw io.Reader) ([]byte, error) {
	line := make([]byte, 0, 1024)
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) >= 32<<10 {
			return nil, errors.New("the server's first line does not end")
		}
		// The server says nothing more before it has heard a TLS hello.
		line = append(line, make([]byte, 512)...)
		n, err := raw.Read(line[len(line)-512:])
		line = line[:len(line)-512+n]
		if err != nil {
			return nil, err
		}
	}
	return line, nil
}

// next reads until a message, a pong or an error; pings of the server are answered on the way.
func (c *connection) next() (message []byte, pong bool, err error) {
	for {
		line, err := c.line()
		if err != nil {
			return nil, false, err
		}
		switch {
		case bytes.HasPrefix(line, []byte("MSG ")):
			message, err = c.message(line)
			return message, false, err
		case bytes.HasPrefix(line, []byte("PONG")):
			return nil, true, nil
		case bytes.HasPrefix(line, []byte("PING")):
			if err := c.send([]byte("PONG\r\n")); err != nil {
				return nil, false, err
			}
		case bytes.HasPrefix(line, []byte("-ERR")):
			return nil, false, fmt.Errorf("the server says %s", bytes.TrimSpace(line[4:]))
		}
	}
}

// line is valid until the next read.
func (c *connection) line() ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	whole := bytes.Clone(line)
	rest, err := c.reader.ReadBytes('\n')
	return append(whole, rest...), err
}

// message reads the payload that a line MSG <subject> <sid> [reply-to] <#bytes> announces.
func (c *connection) message(line []byte) ([]byte, error) {
	fields := bytes.Fields(line)
	size, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil || size < 0 || size > 1<<20 {
		return nil, fmt.Errorf("the server announces a message of %q bytes", fields[len(fields)-1])
	}
	payload := make([]byte, size+2)
	_, err = io.ReadFull(c.reader, payload)
	return payload[:size], err
}

// publish frames a message.
func publish(buffer []byte, subject string, payload []byte) []byte {
	buffer = fmt.Appendf(buffer, "PUB %s %d\r\n", subject, len(payload))
	return append(append(buffer, payload...), "\r\n"...)
}

// send writes at once; a server that takes nothing for a while counts as lost.
func (c *connection) send(text []byte) error {
	_ = c.socket.NetConn().SetWriteDeadline(time.Now().Add(patience))
	_, err := c.socket.Write(text)
	return err
}

// drop ends the connection as a lost link does: without a word.
func (c *connection) drop() { _ = c.socket.NetConn().Close() }

// session keeps the last TLS session of one vehicle; safe for one handshake at a time.
type session struct {
	state atomic.Pointer[tls.ClientSessionState]
}

// Get implements tls.ClientSessionCache.
func (s *session) Get(string) (*tls.ClientSessionState, bool) {
	state := s.state.Load()
	return state, state != nil
}

// Put implements tls.ClientSessionCache.
func (s *session) Put(_ string, state *tls.ClientSessionState) { s.state.Store(state) }
