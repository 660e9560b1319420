// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
)

// TokenLife is how long a token is good for if nothing else is asked for.
const TokenLife = 30 * time.Minute

const (
	tokenMark = "mailha1." // with its version
	maxToken  = 2048       // characters
	secretLen = 32
)

// Token is what lets one node into a cluster, once. It holds a secret: it is
// shown to the operator who asked for it and to nobody else.
type Token struct {
	Cluster string         `json:"c"`
	Node    string         `json:"n"` // the name that the new node will have
	At      netip.AddrPort `json:"a"` // of the node to call
	CA      Fingerprint    `json:"-"`
	ID      string         `json:"i"` // of the invitation
	secret  []byte
}

// Invitation is what the cluster keeps of a token: all but the secret.
type Invitation struct {
	ID   string `json:"-"`
	Node string `json:"node"`
	// Addresses are those that the node's certificate will name.
	Addresses []netip.Addr `json:"addresses"`
	// Witness is a node that gets no authority and runs no resources.
	Witness bool      `json:"witness"`
	Hash    string    `json:"hash"` // SHA-256 of the secret, in hex; that has 256 bits of chance, and needs no salt
	By      string    `json:"by"`   // who asked for the token
	Until   time.Time `json:"until"`
	Rev     int64     `json:"-"`
}

// Invite makes a token for a node that the invitation names, and completes the
// invitation, which is to be kept until it is redeemed or over.
func Invite(cluster string, i Invitation, at netip.AddrPort, ca Fingerprint) (Token, Invitation, error) {
	node := Subject{Name: i.Node, Role: RoleNode, Addresses: i.Addresses}
	if err := errors.Join(checkName(cluster), node.check()); err != nil {
		return Token{}, Invitation{}, err
	}
	if !at.IsValid() || at.Port() == 0 {
		return Token{}, Invitation{}, fmt.Errorf("a new node cannot call %s", at)
	}
	secret := make([]byte, secretLen)
	id := make([]byte, 8)
	rand.Read(secret)
	rand.Read(id)
	i.ID, i.Hash = hex.EncodeToString(id), hash(secret)
	return Token{Cluster: cluster, Node: i.Node, At: at, CA: ca, ID: i.ID, secret: secret}, i, nil
}

func hash(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}

// opens says whether the secret is the invitation's, in the same time whatever it is.
func (i Invitation) opens(secret []byte) bool {
	return subtle.ConstantTimeCompare([]byte(hash(secret)), []byte(i.Hash)) == 1
}

// wire is a token inside of its text.
type wire struct {
	Token
	CA     []byte `json:"f"`
	Secret []byte `json:"s"`
}

// Text is the token as a word that can be copied. It holds the secret.
func (t Token) Text() string {
	data, err := json.Marshal(wire{t, t.CA[:], t.secret})
	if err != nil {
		panic(err) // strings and bytes can always be encoded
	}
	sum := sha256.Sum256(data)
	return tokenMark + base64.RawURLEncoding.EncodeToString(append(data, sum[:4]...))
}

// String names the token without its secret.
func (t Token) String() string {
	return fmt.Sprintf("token %s for %s of cluster %s", t.ID, t.Node, t.Cluster)
}

// ReadToken reads a token from standard input or a file: one word, with white
// space around it.
func ReadToken(r io.Reader) (Token, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxToken+64))
	if err != nil {
		return Token{}, fmt.Errorf("read the token: %w", err)
	}
	return ParseToken(string(text))
}

// ParseToken reads what Text made. Its error does not show the text.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	rest, ours := strings.CutPrefix(text, tokenMark)
	if !ours {
		return Token{}, fmt.Errorf("this is no token: one begins with %q; make a new one by \"mailhactl cluster token\"", tokenMark)
	}
	if len(text) > maxToken {
		return Token{}, errors.New("the token is too long")
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(data) < 4 {
		return Token{}, errors.New("the token was not copied whole: it has characters that none has")
	}
	data, sum := data[:len(data)-4], data[len(data)-4:]
	if want := sha256.Sum256(data); !bytes.Equal(sum, want[:4]) {
		return Token{}, errors.New("the token was not copied whole: its checksum is wrong")
	}
	var w wire
	if err := strict(data, &w); err != nil {
		return Token{}, errors.New("the token is of a kind that this mailha does not know")
	}
	t := w.Token
	id, err := hex.DecodeString(t.ID)
	if err != nil || len(id) != 8 || len(w.CA) != len(t.CA) || len(w.Secret) != secretLen || !t.At.IsValid() || t.At.Port() == 0 {
		return Token{}, errors.New("the token lacks a part")
	}
	if err := errors.Join(checkName(t.Cluster), checkName(t.Node)); err != nil {
		return Token{}, fmt.Errorf("the token is not well: %w", err)
	}
	copy(t.CA[:], w.CA)
	t.secret = w.Secret
	return t, nil
}

// strict takes one JSON value, of known fields, and nothing after it.
func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows")
	}
	return nil
}
