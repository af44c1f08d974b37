package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/jwt/v2"
)

// writeServerConfig writes the configuration of nats-server: who signs, which accounts exist, TLS, and where streams are.
func (k *Keys) writeServerConfig(options KeysOptions) error {
	operator, err := k.operatorToken()
	if err != nil {
		return err
	}
	accounts, system, err := k.accountTokens()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(options.JetStreamDir, 0o700); err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# Written by carlet fleet init; run it again to change something.\n")
	fmt.Fprintf(&text, "server_name: parkade\nhost: %s\nport: %d\n", strconv.Quote(options.Host), options.Port)
	fmt.Fprintf(&text, "max_payload: 1MB\nwrite_deadline: \"10s\"\nping_interval: \"30s\"\n")
	fmt.Fprintf(&text, "jetstream {\n  store_dir: %s\n}\n", strconv.Quote(options.JetStreamDir))
	if options.TLSCert != "" {
		fmt.Fprintf(&text, "tls {\n  cert_file: %s\n  key_file: %s\n", strconv.Quote(options.TLSCert), strconv.Quote(options.TLSKey))
		if options.CA != "" {
			fmt.Fprintf(&text, "  ca_file: %s\n", strconv.Quote(options.CA))
		}
		fmt.Fprintf(&text, "  timeout: 10\n}\n")
	}
	fmt.Fprintf(&text, "operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload {\n", operator, system)
	for _, account := range accounts {
		fmt.Fprintf(&text, "  %s: %s\n", account[0], account[1])
	}
	fmt.Fprintf(&text, "}\n")
	return writeFile(filepath.Join(options.Dir, ServerConfigFile), []byte(text.String()), 0o600)
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
	return claims.Encode(k.operator)
}

// accountTokens are the account of the fleet, with its scoped signing key and JetStream, and the system account.
func (k *Keys) accountTokens() (accounts [][2]string, system string, err error) {
	public, err := k.account.PublicKey()
	if err != nil {
		return nil, "", err
	}
	scope, err := k.vehicleScope()
	if err != nil {
		return nil, "", err
	}
	fleet := jwt.NewAccountClaims(public)
	fleet.Name = "parkade"
	fleet.SigningKeys.AddScopedSigner(scope)
	fleet.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	token, err := fleet.Encode(k.operator)
	if err != nil {
		return nil, "", err
	}
	if system, err = k.system.PublicKey(); err != nil {
		return nil, "", err
	}
	servers := jwt.NewAccountClaims(system)
	servers.Name = "SYS"
	systemToken, err := servers.Encode(k.operator)
	if err != nil {
		return nil, "", err
	}
	return [][2]string{{public, token}, {system, systemToken}}, system, nil
}
