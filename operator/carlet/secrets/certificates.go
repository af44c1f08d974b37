package secrets

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// CertificateLife is long, because certificates are read when a process starts: a life of weeks would need restarts.
	CertificateLife = 3 * 365 * 24 * time.Hour
	// renewedBefore is when an upgrade makes a new certificate.
	renewedBefore  = CertificateLife / 3
	clockTolerance = 5 * time.Minute
)

// pair is a certificate and its key.
type pair struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func newAuthority(now time.Time) (pair, error) {
	return sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "parkade-ca"}, NotAfter: now.Add(authorityLife),
		IsCA: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil, now)
}

// issue signs a certificate for servers and clients under these names (host names and addresses) and this URI.
func issue(authority pair, names []string, uri string, now time.Time) (pair, error) {
	parsed, err := url.Parse(uri)
	if err != nil {
		return pair{}, fmt.Errorf("--uri: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "parkade"}, NotAfter: now.Add(CertificateLife), URIs: []*url.URL{parsed},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ends := authority.certificate.NotAfter; template.NotAfter.After(ends) {
		template.NotAfter = ends
	}
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return sign(template, &authority, now)
}

// sign makes a key and signs its certificate; without an authority it signs itself.
func sign(template *x509.Certificate, authority *pair, now time.Time) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return pair{}, err
	}
	template.NotBefore, template.BasicConstraintsValid = now.Add(-clockTolerance), true
	parent, signer := template, crypto.Signer(key)
	if authority != nil {
		parent, signer = authority.certificate, authority.key
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return pair{}, err
	}
	certificate, err := x509.ParseCertificate(signed)
	return pair{certificate, key}, err
}

// aged says that a certificate of this authority ends soon, or lacks a name; one of another authority is not ours to renew.
func aged(certificate, authority *x509.Certificate, names []string, uri string, now time.Time) bool {
	if certificate.CheckSignatureFrom(authority) != nil {
		return false
	}
	lacks := func(name string) bool { return certificate.VerifyHostname(name) != nil }
	named := slices.ContainsFunc(certificate.URIs, func(it *url.URL) bool { return it.String() == uri })
	return now.After(certificate.NotAfter.Add(-renewedBefore)) || slices.ContainsFunc(names, lacks) || !named
}

func (p pair) encoded() (certificate, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return nil, nil, err
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.certificate.Raw})
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("is not a certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parsePair(certificate, key []byte) (pair, error) {
	parsed, err := parseCertificate(certificate)
	if err != nil {
		return pair{}, err
	}
	block, _ := pem.Decode(key)
	if block == nil {
		return pair{}, errors.New("has no key in PEM")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return pair{}, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return pair{}, errors.New("has a key that cannot sign")
	}
	return pair{parsed, signer}, nil
}
