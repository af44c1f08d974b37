package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/jwt/v2"
)

// accountsDir is where nats-server keeps the accounts that it was told, beside its streams.
const accountsDir = "accounts"

// writeServerConfig writes the configuration of nats-server: who signs, which accounts exist, TLS, and where streams are.
func (k *Keys) writeServerConfig(options KeysOptions) error {
	operator, err := k.operatorToken()
	if err != nil {
		return err
	}
	account, err := k.accountToken(nil)
	if err != nil {
		return err
	}
	system, servers, err := k.systemToken()
	if err != nil {
		return err
	}
	streamKey, err := os.ReadFile(filepath.Join(options.Dir, streamKeyFile))
	if err != nil {
		return err
	}
	public, err := k.account.PublicKey()
	if err != nil {
		return err
	}
	if !options.Elsewhere {
		if err := os.MkdirAll(options.JetStreamDir, 0o700); err != nil {
			return err
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# Written by carlet fleet init; run it again to change something.\n")
	fmt.Fprintf(&text, "server_name: parkade\nhost: %s\nport: %d\n", strconv.Quote(options.Host), options.Port)
	// Beats tell what is alive; pings of the server between them would be most of what an idle car receives.
	fmt.Fprintf(&text, "max_payload: 1MB\nwrite_deadline: \"10s\"\nping_interval: \"5m\"\n")
	// Encrypted: what a stream no longer holds lies in its files until the server rewrites them.
	fmt.Fprintf(&text, "jetstream {\n  store_dir: %s\n  cipher: chachapoly\n  key: %s\n}\n",
		strconv.Quote(options.JetStreamDir), strconv.Quote(string(streamKey)))
	text.WriteString(options.tlsBlock(options.ConnectRate))
	if options.MQTTPort != 0 {
		// A QoS 2 message is kept on disk until it is released; witnesses need no more than QoS 1, of which nothing is kept.
		fmt.Fprintf(&text, "mqtt {\n  host: %s\n  port: %d\n  reject_qos2_publish: true\n%s}\n", strconv.Quote(options.Host), options.MQTTPort, options.tlsBlock(0))
	}
	// The server keeps the newest account it was told, on disk: a revocation outlives a restart with an older preload.
	fmt.Fprintf(&text, "operator: %s\nsystem_account: %s\nresolver {\n  type: full\n  dir: %s\n  allow_delete: false\n}\n",
		operator, system, strconv.Quote(filepath.Join(options.JetStreamDir, accountsDir)))
	fmt.Fprintf(&text, "resolver_preload {\n  %s: %s\n  %s: %s\n}\n", public, account, system, servers)
	return writeFile(filepath.Join(options.Dir, ServerConfigFile), []byte(text.String()), 0o600)
}

// tlsBlock is the same for every listener but for the rate; empty without TLS. NATS cannot tell a client when to come back: it
// turns away those above the rate before their handshake, which costs next to nothing, and they return with full jitter.
func (o KeysOptions) tlsBlock(rate int) string {
	if o.TLSCert == "" {
		return ""
	}
	text := fmt.Sprintf("tls {\n  cert_file: %s\n  key_file: %s\n", strconv.Quote(o.TLSCert), strconv.Quote(o.TLSKey))
	if o.CA != "" {
		text += fmt.Sprintf("  ca_file: %s\n", strconv.Quote(o.CA))
	}
	if rate > 0 {
		text += fmt.Sprintf("  connection_rate_limit: %d\n", rate)
	}
	return text + "  timeout: 10\n}\n"
}

func (k *Keys) operatorToken() (string, error) {
	public, err := k.operator.PublicKey()
	if err != nil {
		return "", err
	}
	claims := jwt.NewOperatorClaims(public)
	claims.Name = "parkade"
	if claims.SystemAccount, err = k.system.PublicKey(); err != nil {
		return "", err
	}
	return k.keptToken(operatorFile, func(text string) bool {
		before, err := jwt.DecodeOperatorClaims(text)
		return err == nil && before.Subject == public && before.SystemAccount == claims.SystemAccount
	}, claims)
}

// keptToken is the one in the directory while it says the same: each is signed with the time, and the configuration should
// change only when something in it does.
func (k *Keys) keptToken(file string, same func(text string) bool, claims jwt.Claims) (string, error) {
	path := filepath.Join(k.dir, file)
	kept, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if same(string(kept)) {
		return string(kept), nil
	}
	token, err := claims.Encode(k.operator)
	if err != nil {
		return "", err
	}
	return token, writeFile(path, []byte(token), 0o600)
}

// accountToken is the account of the fleet, with its scoped signing key, JetStream, and the revocations so far; change
// may add to them. It is kept in the directory and signed anew only when something differs, so that an older
// copy of it never passes for a newer one.
func (k *Keys) accountToken(change func(*jwt.AccountClaims)) (string, error) {
	public, err := k.account.PublicKey()
	if err != nil {
		return "", err
	}
	scope, err := k.vehicleScope()
	if err != nil {
		return "", err
	}
	claims := jwt.NewAccountClaims(public)
	claims.Name = "parkade"
	claims.SigningKeys.AddScopedSigner(scope)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	path := filepath.Join(k.dir, accountFile)
	kept, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if before, err := jwt.DecodeAccountClaims(string(kept)); err == nil {
		claims.Revocations = maps.Clone(before.Revocations)
		// Who signed it and when is no difference.
		claims.Issuer, claims.IssuedAt, claims.ID = before.Issuer, before.IssuedAt, before.ID
		claims.Type, claims.Version = before.Type, before.Version
		if change == nil && sameClaims(before, claims) {
			return string(kept), nil
		}
	}
	if change != nil {
		change(claims)
	}
	token, err := claims.Encode(k.operator)
	if err != nil {
		return "", err
	}
	return token, writeFile(path, []byte(token), 0o600)
}

func sameClaims(a, b *jwt.AccountClaims) bool {
	left, right := bytes.Buffer{}, bytes.Buffer{}
	if json.NewEncoder(&left).Encode(a) != nil || json.NewEncoder(&right).Encode(b) != nil {
		return false
	}
	return bytes.Equal(left.Bytes(), right.Bytes())
}

func (k *Keys) systemToken() (public, token string, err error) {
	if public, err = k.system.PublicKey(); err != nil {
		return "", "", err
	}
	claims := jwt.NewAccountClaims(public)
	claims.Name = "SYS"
	token, err = k.keptToken(systemFile, func(text string) bool {
		before, err := jwt.DecodeAccountClaims(text)
		return err == nil && before.Subject == public
	}, claims)
	return public, token, err
}
