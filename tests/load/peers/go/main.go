// The mint of Countersign's contract with net/http and golang-jwt. Arguments: port, key file, key id; PEER_API_KEY is the
// API key.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/golang-jwt/jwt"
)

const lifetime = 3600

type login struct {
	App    string `json:"app"`
	UserID string `json:"user_id"`
}

type claims struct {
	Subject   string `json:"sub"`
	IssuedAt  int64  `json:"iat"`
	ExpiresAt int64  `json:"exp"`
	ID        string `json:"jti"`
}

// Valid is what the library asks of claims that it reads; these are only written.
func (claims) Valid() error { return nil }

type answer struct {
	Token        string `json:"token"`
	TokenExpires int64  `json:"token_expires"`
	ServerTime   int64  `json:"server_time"`
	ExpiresIn    int64  `json:"expires_in"`
}

type peer struct {
	key      *rsa.PrivateKey
	kid      string
	expected [sha256.Size]byte
}

func (p *peer) generate(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	presented := sha256.Sum256([]byte(r.Header.Get("Authorization")))
	if subtle.ConstantTimeCompare(presented[:], p.expected[:]) != 1 {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	var body login
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&body) != nil || body.App == "" || body.UserID == "" {
		http.Error(w, "malformed", http.StatusBadRequest)
		return
	}
	out, err := p.mint(body.UserID, time.Now())
	if err != nil {
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func (p *peer) mint(user string, now time.Time) (*answer, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	expires := now.Unix() + lifetime
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims{
		Subject:   user,
		IssuedAt:  now.Unix(),
		ExpiresAt: expires,
		ID:        base64.RawURLEncoding.EncodeToString(id[:]),
	})
	token.Header["kid"] = p.kid
	signed, err := token.SignedString(p.key)
	if err != nil {
		return nil, err
	}
	return &answer{signed, expires * 1000, now.UnixMilli(), lifetime}, nil
}

func main() {
	port, keyFile, kid := os.Args[1], os.Args[2], os.Args[3]
	pem, err := os.ReadFile(keyFile)
	if err != nil {
		log.Fatal(err)
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM(pem)
	if err != nil {
		log.Fatal(err)
	}
	p := &peer{key: key, kid: kid, expected: sha256.Sum256([]byte("Bearer " + os.Getenv("PEER_API_KEY")))}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/token/generate", p.generate)
	fmt.Println("ready")
	log.Fatal(http.Serve(listener, mux))
}
