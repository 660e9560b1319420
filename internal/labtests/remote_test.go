// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/mailha/mailha/internal/lab"
)

// The API of a daemon can be reached from elsewhere by those who show a certificate of
// the documented kind, and Prometheus finds metrics. What is missing for that does not
// keep services from running, and what is changed takes effect.
func TestRemoteAPI(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n := p.node
	run(t, n, `for u in 'sleep-a\x2db' sleep-c; do printf '[Service]\nExecStart=/bin/sleep infinity\n' >"/etc/systemd/system/$u.service"; done
		systemctl daemon-reload; ip addr add 2001:db8::11/64 dev eth0 nodad || true; ip addr add 192.0.2.11/24 dev eth0; mkdir -p /etc/mailha`)
	config := strings.ReplaceAll(small, "NODE", n.Name()) + `
[api]
listen = "0.0.0.0:9443"
cert_file = "/etc/mailha/api.pem"
key_file = "/etc/mailha/api-key.pem"
client_ca_file = "/etc/mailha/api-clients.pem"
operators = ["alice"]
metrics = "0.0.0.0:9418"
`
	push(t, n, "/etc/mailha/mailha.toml", config)
	run(t, n, "mailhactl cluster init; systemctl start mailhad")
	await(t, time.Minute, "everything to run", func() bool {
		return run(t, n, "mailhactl status --output json | grep -c '\"phase\": \"started\"' || true") == "4"
	})
	if log := run(t, n, "journalctl -u mailhad | grep 'nobody can come in there'"); !strings.Contains(log, "/etc/mailha/api.pem") {
		t.Errorf("the journal does not say what is missing: %s", log)
	}

	run(t, n, "cd /etc/mailha; "+documented(t)+"; openssl req -x509 -CA api-clients.pem -CAkey ca.key -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=bob -keyout bob.key -out bob.pem")
	ask := func(who, method, url, body string) (int, string, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, strings.Replace(url, "NODE", n.Addr4().String(), 1), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: clientTLS(t, n, who), DialContext: p.dial}
		resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(data), err
	}
	await(t, patience, "the API", func() bool {
		code, text, _ := ask("alice", "GET", "https://NODE:9443/v1/status", "")
		return code == http.StatusOK && strings.Contains(text, `"greylist"`)
	})
	if code, text, err := ask("bob", "GET", "https://NODE:9443/v1/status", ""); code != http.StatusOK {
		t.Errorf("bob may not look: %d %s %v", code, text, err)
	}
	if code, text, err := ask("bob", "POST", "https://NODE:9443/v1/resources/one/restart", "{}"); code != http.StatusForbidden {
		t.Errorf("bob changed something: %d %s %v", code, text, err)
	}
	if code, text, err := ask("alice", "POST", "https://NODE:9443/v1/resources/one/restart", "{}"); code != http.StatusOK {
		t.Errorf("alice may not: %d %s %v", code, text, err)
	}
	if code, text, err := ask("", "GET", "https://NODE:9443/v1/status", ""); err == nil {
		t.Errorf("without a certificate: %d %s", code, text)
	}
	if events := run(t, n, "mailhactl events"); !strings.Contains(events, "alice") {
		t.Errorf("nobody knows that it was alice: %s", events)
	}

	code, metrics, err := ask("", "GET", "http://NODE:9418/metrics", "")
	if code != http.StatusOK || err != nil || !strings.Contains(metrics, `mailha_resource_state{`) {
		t.Errorf("metrics: %d, %v: %.2000s", code, err, metrics)
	}
	problems, err := promlint.New(strings.NewReader(metrics)).Lint() // what promtool check metrics does
	if err != nil {
		t.Error(err)
	}
	for _, problem := range problems {
		t.Errorf("metrics: %s: %s", problem.Metric, problem.Text)
	}
	if code, _, _ := ask("", "GET", "http://NODE:9418/v1/status", ""); code != http.StatusNotFound {
		t.Errorf("the status is served in the clear: %d", code)
	}

	push(t, n, "/root/next.toml", strings.NewReplacer(":9443", ":9444", `metrics = "0.0.0.0:9418"`, "").Replace(config))
	run(t, n, "mailhactl config apply --yes /root/next.toml")
	await(t, patience, "the API at its other port", func() bool {
		code, _, _ := ask("alice", "GET", "https://NODE:9444/v1/status", "")
		return code == http.StatusOK
	})
	for _, url := range []string{"https://NODE:9443/v1/status", "http://NODE:9418/metrics"} {
		await(t, patience, url+" to be gone", func() bool { _, _, err := ask("alice", "GET", url, ""); return err != nil })
	}
}

// documented are the commands by which docs/api.md makes certificates.
func documented(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^    (openssl (?:.*\\\n)*.*)$`).FindAllStringSubmatch(string(page), -1)
	if len(commands) != 3 {
		t.Fatalf("docs/api.md has %d commands for certificates", len(commands))
	}
	var all []string
	for _, c := range commands {
		all = append(all, c[1])
	}
	return strings.Join(all, " && ")
}

// dial connects as a host outside of the cluster.
func (p *place) dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	doErr := p.Client().Do(func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return c, doErr
}

// clientTLS has the certificate of somebody; of nobody without a name.
func clientTLS(t *testing.T, n *lab.Node, who string) *tls.Config {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(run(t, n, "cat /etc/mailha/api-clients.pem"))) {
		t.Fatal("no certificate of the authority")
	}
	cfg := &tls.Config{RootCAs: roots, ServerName: "node1"}
	if who == "" {
		return cfg
	}
	cert, err := tls.X509KeyPair([]byte(run(t, n, "cat /etc/mailha/"+who+".pem")), []byte(run(t, n, "cat /etc/mailha/"+who+".key")))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Certificates = []tls.Certificate{cert}
	return cfg
}
