// The same verdict as verify's, as a program in Go would give it: the measure of bench.verify.
//
// From memory: the headers that Traefik forwards, the log-in's cookie among others, a signed token
// that is verified each time, the log-in it names, the session and who owns it. Only Go's standard
// library. Usage: verify HANDLE eddsa|hs256. It prints what it wants to be asked.
package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	cookieName = "slicerhub-login"
	sessionID  = "abcdefghijklmnopqrstuvwxyz"
)

type claims struct {
	Sub string  `json:"sub"`
	Sid string  `json:"sid"`
	Aud string  `json:"aud"`
	Iat float64 `json:"iat"`
	Exp float64 `json:"exp"`
}

type tokenHeader struct{ Alg, Kid string }

type session struct {
	owner string
	used  time.Time
}

var (
	mutex    sync.Mutex
	logins   = map[string]string{"sid-1": "alice"} // whose each is
	sessions = map[string]*session{sessionID: {owner: "alice"}}

	methods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true,
		"PATCH": true, "DELETE": true, "OPTIONS": true}
	protocols = map[string]bool{"http": true, "https": true, "ws": true, "wss": true}

	algorithm          string
	public, private, _ = ed25519.GenerateKey(nil)
	secret             = []byte("0123456789abcdef0123456789abcdef")
)

func mac(text string) []byte {
	sum := hmac.New(sha256.New, secret)
	sum.Write([]byte(text))
	return sum.Sum(nil)
}

// issue signs a token.
func issue(said claims) string {
	head, _ := json.Marshal(map[string]string{"alg": algorithm, "kid": "one", "typ": "JWT"})
	body, _ := json.Marshal(said)
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	signature := mac(text)
	if algorithm == "EdDSA" {
		signature = ed25519.Sign(private, []byte(text))
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// verified returns what a token says, if it is the hub's and valid now.
func verified(token string) (said claims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return said, false
	}
	var head tokenHeader
	text, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil || json.Unmarshal(text, &head) != nil || head.Alg != algorithm || head.Kid != "one" {
		return said, false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return said, false
	}
	signed := token[:len(parts[0])+1+len(parts[1])]
	if algorithm == "EdDSA" {
		ok = ed25519.Verify(public, []byte(signed), signature)
	} else {
		ok = hmac.Equal(mac(signed), signature)
	}
	text, err = base64.RawURLEncoding.DecodeString(parts[1])
	if !ok || err != nil || json.Unmarshal(text, &said) != nil || said.Aud != "login" {
		return said, false
	}
	now := float64(time.Now().UnixMicro()) / 1e6
	return said, now <= said.Exp+30 && now >= said.Iat-30
}

func verify(writer http.ResponseWriter, request *http.Request) {
	given := request.Header
	for _, name := range []string{"X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if len(given[name]) != 1 || given[name][0] == "" {
			http.Error(writer, name+" is missing.", http.StatusBadRequest)
			return
		}
	}
	method, uri := given.Get("X-Forwarded-Method"), given.Get("X-Forwarded-Uri")
	if !methods[method] || uri[0] != '/' || !protocols[given.Get("X-Forwarded-Proto")] {
		http.Error(writer, "This cannot be served.", http.StatusBadRequest)
		return
	}
	token, others := "", []string{}
	for _, piece := range strings.Split(strings.Join(given["Cookie"], "; "), ";") {
		piece = strings.TrimSpace(piece)
		if name, value, _ := strings.Cut(piece, "="); strings.EqualFold(name, cookieName) {
			token = value
		} else if piece != "" {
			others = append(others, piece)
		}
	}
	said, ok := verified(token)
	mutex.Lock()
	defer mutex.Unlock()
	if whose, stands := logins[said.Sid]; !ok || !stands || whose != said.Sub {
		http.Error(writer, "Log in to continue.", http.StatusUnauthorized)
		return
	}
	found := sessions[strings.TrimPrefix(request.URL.Path, "/verify/")]
	if found == nil || found.owner != said.Sub {
		http.Error(writer, "This session is not open to you.", http.StatusForbidden)
		return
	}
	found.used = time.Now()
	told := writer.Header()
	told.Set("Cache-Control", "no-store")
	told.Set("Set-Cookie", "slicerhub-guard=1")
	told.Set("X-Slicerhub-User", said.Sub)
	told.Set("X-Slicerhub-Role", "owner")
	if len(others) > 0 {
		told.Set("Cookie", strings.Join(others, "; "))
	}
}

func main() {
	algorithm = map[string]string{"eddsa": "EdDSA", "hs256": "HS256"}[os.Args[2]]
	handle, _ := strconv.Atoi(os.Args[1])
	listener, err := net.FileListener(os.NewFile(uintptr(handle), "listener"))
	if err != nil {
		panic(err)
	}
	now := float64(time.Now().Unix())
	token := issue(claims{"alice", "sid-1", "login", now, now + 3600})
	question, _ := json.Marshal([]string{"/verify/" + sessionID, cookieName + "=" + token})
	fmt.Println(string(question))
	panic(http.Serve(listener, http.HandlerFunc(verify)))
}
