package fleet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// DefaultCredentialsLife is how long a vehicle's credentials live.
const DefaultCredentialsLife = 24 * time.Hour

// vehicleSubscriptions bounds what one connection may subscribe: its four subjects, an inbox, and room to grow.
const vehicleSubscriptions = 16

// DefaultConnectRate is what a nats-server with two cores does beside its work: a handshake with what follows it costs
// about 2 ms of processor.
const DefaultConnectRate = 500

// KeysOptions say where the server listens and what it may use.
type KeysOptions struct {
	Dir          string
	Host         string
	Port         int
	JetStreamDir string
	Elsewhere    bool // nats-server runs on another machine, which makes JetStreamDir itself
	TLSCert      string
	TLSKey       string
	CA           string
	MQTTPort     int // 0: no MQTT
	// ConnectRate is how many TLS handshakes a second the server begins; 0 for any number.
	ConnectRate int
}

// Keys are the fleet's operator, account, system account and signing key, as seeds in a directory. Its Issuer is all
// that carlet needs of them.
type Keys struct {
	*Issuer
	dir      string
	operator nkeys.KeyPair
	account  nkeys.KeyPair
	system   nkeys.KeyPair
	signer   nkeys.KeyPair
}

// Files in the directory of keys.
const (
	ServerConfigFile      = "nats.conf"
	CarletCredentialsFile = "carlet.creds"
	signerFile            = "vehicles.seed"
	accountFile           = "account.jwt"
	operatorFile          = "operator.jwt"
	systemFile            = "system.jwt"
	streamKeyFile         = "jetstream.key"
)

var seedFiles = []struct {
	file   string
	create func() (nkeys.KeyPair, error)
	place  func(*Keys) *nkeys.KeyPair
}{
	{"operator.seed", nkeys.CreateOperator, func(k *Keys) *nkeys.KeyPair { return &k.operator }},
	{"account.seed", nkeys.CreateAccount, func(k *Keys) *nkeys.KeyPair { return &k.account }},
	{"system.seed", nkeys.CreateAccount, func(k *Keys) *nkeys.KeyPair { return &k.system }},
	{signerFile, nkeys.CreateAccount, func(k *Keys) *nkeys.KeyPair { return &k.signer }},
}

// OpenKeys reads the keys of a directory that InitKeys has made.
func OpenKeys(dir string) (*Keys, error) {
	keys := &Keys{dir: dir}
	for _, seed := range seedFiles {
		pair, err := readSeed(filepath.Join(dir, seed.file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s has no %s; run carlet fleet init --dir %s first", dir, seed.file, dir)
		}
		if err != nil {
			return nil, err
		}
		*seed.place(keys) = pair
	}
	public, err := keys.account.PublicKey()
	if err != nil {
		return nil, err
	}
	keys.Issuer, err = newIssuer(dir, public)
	return keys, err
}

// InitKeys makes the keys that are missing, carlet's own credentials, and the server's configuration. Keys that exist
// are kept, so that credentials signed before stay good.
func InitKeys(options KeysOptions) (*Keys, error) {
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, err
	}
	for _, seed := range seedFiles {
		if err := makeSeed(filepath.Join(options.Dir, seed.file), seed.create); err != nil {
			return nil, err
		}
	}
	if err := makeIssuer(options.Dir); err != nil {
		return nil, err
	}
	if err := makeSecret(filepath.Join(options.Dir, streamKeyFile)); err != nil {
		return nil, err
	}
	keys, err := OpenKeys(options.Dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(options.Dir, CarletCredentialsFile)); errors.Is(err, fs.ErrNotExist) {
		credentials, err := keys.carletCredentials()
		if err != nil {
			return nil, err
		}
		if err := writeFile(filepath.Join(options.Dir, CarletCredentialsFile), credentials, 0o600); err != nil {
			return nil, err
		}
	}
	return keys, keys.writeServerConfig(options)
}

// Enroll makes a key and signs credentials for it, with which a vehicle reaches its own subjects and nothing else, for a
// limited time. A car that can speak for itself enrols with a key of its own instead: its seed never leaves it.
func (k *Keys) Enroll(key Key, life time.Duration, now time.Time) ([]byte, error) {
	user, public, err := newUser()
	if err != nil {
		return nil, err
	}
	token, err := k.Token(key, public, life, now)
	if err != nil {
		return nil, err
	}
	return credentials(token, user)
}

// carletCredentials let carlet use the whole account; they do not expire, since who reads their file reads the
// account's seed beside it.
func (k *Keys) carletCredentials() ([]byte, error) {
	user, public, err := newUser()
	if err != nil {
		return nil, err
	}
	claims := jwt.NewUserClaims(public)
	claims.Name = "carlet"
	if claims.IssuerAccount, err = k.account.PublicKey(); err != nil {
		return nil, err
	}
	token, err := claims.Encode(k.account)
	if err != nil {
		return nil, err
	}
	return credentials(token, user)
}

func newUser() (user nkeys.KeyPair, public string, err error) {
	if user, err = nkeys.CreateUser(); err != nil {
		return nil, "", err
	}
	public, err = user.PublicKey()
	return user, public, err
}

func credentials(token string, user nkeys.KeyPair) ([]byte, error) {
	seed, err := user.Seed()
	if err != nil {
		return nil, err
	}
	return jwt.FormatUserConfig(token, seed)
}

// vehicleScope is the template that the server applies to everything signed with the signing key.
func (k *Keys) vehicleScope() (*jwt.UserScope, error) {
	public, err := k.signer.PublicKey()
	if err != nil {
		return nil, err
	}
	scope := jwt.NewUserScope()
	scope.Key, scope.Role = public, "vehicle"
	scope.Description = "one vehicle: its own subjects only"
	const own = "parkade.v1.{{tag(fleet)}}.{{name()}}."
	scope.Template.Pub.Allow = jwt.StringList{own + "hello", own + "state", own + "beat", own + "receipt", own + "renew"}
	scope.Template.Sub.Allow = jwt.StringList{
		own + "desired", own + "stop", own + "credentials", own + "supported", "_INBOX.{{tag(fleet)}}.{{name()}}.>",
	}
	scope.Template.Payload = MaxMessageBytes
	scope.Template.Subs = vehicleSubscriptions
	return scope, nil
}

func readSeed(path string) (nkeys.KeyPair, error) {
	seed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return nil, fmt.Errorf("%s is not a seed: %w; restore it from a backup", path, err)
	}
	return pair, nil
}

func makeSeed(path string, create func() (nkeys.KeyPair, error)) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pair, err := create()
	if err != nil {
		return err
	}
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	return writeFile(path, seed, 0o600)
}

// writeFile replaces a file at once, so that a reader never sees half of it.
func writeFile(path string, content []byte, mode os.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content)
	if err = errors.Join(err, temporary.Chmod(mode), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
