package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Files of an Issuer, beside vehicles.seed.
const (
	pseudonymsFile     = "pseudonyms.key"
	VehicleCAFile      = "vehicles-ca.crt"
	vehicleCAKeyFile   = "vehicles-ca.key"
	secretBytes        = 32
	pseudonymBytes     = 16 // 128 bits: no two cars of any fleet share one
	vehicleCALife      = 10 * 365 * 24 * time.Hour
	maxRealID          = 128
	clockTolerance     = 5 * time.Minute // of a car whose clock is behind
	vehicleURI         = "parkade"
	maxCertificateText = 8 << 10
)

// Issuer signs what lets a vehicle speak for itself: the token of the fleet link, and the certificate with which it dials
// routers. It also turns the real id of a car into its pseudonym.
type Issuer struct {
	account    string
	signer     nkeys.KeyPair
	pseudonyms []byte
	authority  *x509.Certificate
	key        any
}

// OpenIssuer reads the part of a directory of keys that carlet may hold: neither the operator's seed nor the account's.
// carletCredentials name the account.
func OpenIssuer(dir, carletCredentials string) (*Issuer, error) {
	text, err := os.ReadFile(carletCredentials)
	if err != nil {
		return nil, err
	}
	token, err := jwt.ParseDecoratedJWT(text)
	if err != nil {
		return nil, fmt.Errorf("%s has no credentials in it: %w", carletCredentials, err)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", carletCredentials, err)
	}
	return newIssuer(dir, claims.IssuerAccount)
}

func newIssuer(dir, account string) (*Issuer, error) {
	signer, err := readSeed(filepath.Join(dir, signerFile))
	if err != nil {
		return nil, err
	}
	pseudonyms, err := os.ReadFile(filepath.Join(dir, pseudonymsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no %s; run carlet fleet init --dir %s once more", dir, pseudonymsFile, dir)
	}
	if err != nil {
		return nil, err
	}
	pair, err := readAuthority(dir)
	if err != nil {
		return nil, err
	}
	return &Issuer{account: account, signer: signer, pseudonyms: pseudonyms, authority: pair.certificate, key: pair.key}, nil
}

// Authority is the certificate that signs those of cars.
func (i *Issuer) Authority() *x509.Certificate { return i.authority }

// Token signs a public key's right to be a vehicle on the fleet link, as a JWT; who lacks the key's seed cannot use it.
func (i *Issuer) Token(key Key, public string, life time.Duration, now time.Time) (string, error) {
	if err := errors.Join(CheckName("fleet", key.Fleet), CheckName("vehicle", key.Vehicle)); err != nil {
		return "", err
	}
	if !nkeys.IsValidPublicUserKey(public) {
		return "", errors.New("the public key is not one of a NATS user; it begins with U")
	}
	if life <= 0 {
		return "", fmt.Errorf("--ttl %s must be positive", life)
	}
	claims := jwt.NewUserClaims(public)
	claims.Name, claims.IssuerAccount = key.Vehicle, i.account
	claims.SetScoped(true)
	claims.Tags.Add("fleet:" + key.Fleet)
	claims.Expires = now.Add(life).Unix()
	return claims.Encode(i.signer)
}

// Index finds a car again by its real id; Pseudonym names it. Both are keyed, so that neither can be turned back, or
// tried out, by who lacks the key; the salt of an enrolment makes its pseudonym die with it.
func (i *Issuer) Index(fleet, id string) string {
	return hex.EncodeToString(i.keyed("index", fleet, id)[:pseudonymBytes])
}

// Pseudonym is one token of a subject.
func (i *Issuer) Pseudonym(fleet, id string, salt []byte) string {
	return "v-" + hex.EncodeToString(i.keyed("name", fleet, id, string(salt))[:pseudonymBytes])
}

// keyed is an HMAC-SHA256 under a key of the fleet, which is derived from the one in the directory.
func (i *Issuer) keyed(purpose, fleet string, parts ...string) []byte {
	derive := hmac.New(sha256.New, i.pseudonyms)
	derive.Write([]byte(purpose + "\n" + fleet))
	mac := hmac.New(sha256.New, derive.Sum(nil))
	for _, part := range parts {
		fmt.Fprintf(mac, "%d\n%s", len(part), part)
	}
	return mac.Sum(nil)
}

// Challenge is a number that only this fleet's issuers can make, for a proof of possession.
func (i *Issuer) Challenge(issued string) string {
	return hex.EncodeToString(i.keyed("challenge", "", issued))
}

// URLKey is the key of model URLs that all carlets of the fleet have in common: any of them serves what another signed.
func (i *Issuer) URLKey() []byte { return i.keyed("model urls", "") }

// NormalID is a car's real id as it is hashed: identification numbers are written in both cases, and with spaces.
func NormalID(id string) (string, error) {
	normal := strings.ToUpper(strings.Join(strings.Fields(id), ""))
	if normal == "" || len(normal) > maxRealID {
		return "", fmt.Errorf("the id of a car has 1 to %d characters; give the number that its maker gave it", maxRealID)
	}
	return normal, nil
}

// Certificate signs the public key of a request (PEM) for dialling routers as this vehicle; whatever else the request says is ignored.
func (i *Issuer) Certificate(key Key, request string, life time.Duration, now time.Time) (string, error) {
	block, _ := pem.Decode([]byte(request))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(request) > maxCertificateText {
		return "", errors.New("csr is not a certificate request in PEM")
	}
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = asked.CheckSignature()
	}
	if err != nil {
		return "", errors.New("csr is not a certificate request that its own key signed")
	}
	template, err := certificateTemplate(pkix.Name{}, now, life)
	if err != nil {
		return "", err
	}
	template.URIs = []*url.URL{{Scheme: vehicleURI, Host: "vehicle", Path: "/" + key.Fleet + "/" + key.Vehicle}}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	signed, err := x509.CreateCertificate(rand.Reader, template, i.authority, asked.PublicKey, i.key)
	if err != nil {
		return "", fmt.Errorf("csr: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})), nil
}

// VehicleCA is the certificate by which routers know the certificates of vehicles.
func (i *Issuer) VehicleCA() *x509.Certificate { return i.authority }

type authority struct {
	certificate *x509.Certificate
	key         any
}

func readAuthority(dir string) (authority, error) {
	var blocks [2]*pem.Block
	for n, name := range []string{VehicleCAFile, vehicleCAKeyFile} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return authority{}, err
		}
		if blocks[n], _ = pem.Decode(text); blocks[n] == nil {
			return authority{}, fmt.Errorf("%s is not PEM; restore it from a backup", filepath.Join(dir, name))
		}
	}
	certificate, err := x509.ParseCertificate(blocks[0].Bytes)
	if err != nil {
		return authority{}, fmt.Errorf("%s: %w", VehicleCAFile, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(blocks[1].Bytes)
	if err != nil {
		return authority{}, fmt.Errorf("%s: %w", vehicleCAKeyFile, err)
	}
	return authority{certificate, key}, nil
}

// makeIssuer makes the key of pseudonyms and the CA of vehicles where they are missing.
func makeIssuer(dir string) error {
	if err := makeSecret(filepath.Join(dir, pseudonymsFile)); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, vehicleCAKeyFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := certificateTemplate(pkix.Name{CommonName: "parkade-vehicles"}, time.Now(), vehicleCALife)
	if err != nil {
		return err
	}
	template.IsCA, template.MaxPathLenZero = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
	if err := writeFile(filepath.Join(dir, VehicleCAFile), certificate, 0o600); err != nil {
		return err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
	return writeFile(filepath.Join(dir, vehicleCAKeyFile), private, 0o600)
}

func certificateTemplate(subject pkix.Name, now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject, BasicConstraintsValid: true,
		NotBefore: now.Add(-clockTolerance), NotAfter: now.Add(life),
	}, err
}

// makeSecret makes a random key where it is missing, as text, since it may have to stand in a configuration.
func makeSecret(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	secret := make([]byte, secretBytes)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	return writeFile(path, []byte(hex.EncodeToString(secret)), 0o600)
}
