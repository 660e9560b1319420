// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// replies is a session with replies of three digits: SMTP and LMTP.
type replies struct {
	*conn
	offers []string
}

// Refusal is a reply with another code than the one that was hoped for.
type Refusal struct {
	Code int
	Text string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d %s", r.Code, r.Text) }

// reply reads a whole one: RFC 5321 section 4.2.
func (r *replies) reply() (code int, lines []string, err error) {
	const most = 100
	for range most {
		line, err := r.line()
		if err != nil {
			return 0, nil, err
		}
		n, text, more, err := parseReply(line)
		if err != nil {
			return 0, nil, err
		}
		if len(lines) > 0 && n != code {
			return 0, nil, fmt.Errorf("%d within a reply of %d", n, code)
		}
		code, lines = n, append(lines, text)
		if !more {
			return code, lines, nil
		}
	}
	return 0, nil, fmt.Errorf("a reply of more than %d lines", most)
}

func parseReply(line string) (code int, text string, more bool, err error) {
	const digits = 3
	if len(line) < digits {
		return 0, "", false, fmt.Errorf("%q is no reply", line)
	}
	for _, c := range []byte(line[:digits]) {
		if c < '0' || c > '9' {
			return 0, "", false, fmt.Errorf("%q is no reply", line)
		}
		code = 10*code + int(c-'0')
	}
	if len(line) == digits {
		return code, "", false, nil
	}
	if line[digits] != ' ' && line[digits] != '-' {
		return 0, "", false, fmt.Errorf("%q is no reply", line)
	}
	return code, line[digits+1:], line[digits] == '-', nil
}

// hear reads a reply, which must have the code want or, if that has fewer digits,
// begin with it. Another one is a [Refusal].
func (r *replies) hear(want int, step string) ([]string, error) {
	code, lines, err := r.reply()
	if err != nil {
		return nil, r.failed(step, err)
	}
	for have := code; have != want; have /= 10 {
		if have < want {
			return nil, r.failed(step, &Refusal{Code: code, Text: strings.Join(lines, " ")})
		}
	}
	return lines, nil
}

func (r *replies) command(want int, step, line string) ([]string, error) {
	if err := r.write(line + "\r\n"); err != nil {
		return nil, r.failed(step, err)
	}
	return r.hear(want, step)
}

// hello introduces the client, and again after STARTTLS if the target wants it.
func (r *replies) hello(ctx context.Context, verb string) error {
	lines, err := r.command(250, verb, verb+" monitor.invalid")
	if err != nil {
		return err
	}
	r.offers = lines[1:]
	if r.target.TLS != StartTLS || len(r.certs) > 0 {
		return nil
	}
	if !r.Offers("STARTTLS") {
		return r.failed("STARTTLS", errors.New("is not offered"))
	}
	if _, err := r.command(220, "STARTTLS", "STARTTLS"); err != nil {
		return err
	}
	if err := r.encrypt(ctx); err != nil {
		return err
	}
	return r.hello(ctx, verb)
}

// Offers says whether the server has an extension, by its EHLO keyword.
func (r *replies) Offers(keyword string) bool {
	return slices.ContainsFunc(r.offers, func(line string) bool {
		offered, _, _ := strings.Cut(line, " ")
		return strings.EqualFold(offered, keyword)
	})
}

// Quit ends the session politely.
func (r *replies) Quit() error {
	_, err := r.command(221, "QUIT", "QUIT")
	return err
}

// transaction hands a message over as far as DATA's end, which it does not wait for.
// It has no sender, so that nothing comes back for it. The message has lines that
// end with CRLF.
func (r *replies) transaction(to, message string) error {
	if to == "" || strings.ContainsAny(to, "<>\r\n ") {
		return r.failed("RCPT", fmt.Errorf("%q is no address", to))
	}
	if _, err := r.command(250, "MAIL", "MAIL FROM:<>"); err != nil {
		return err
	}
	if _, err := r.command(25, "RCPT", "RCPT TO:<"+to+">"); err != nil {
		return err
	}
	if _, err := r.command(354, "DATA", "DATA"); err != nil {
		return err
	}
	if err := r.write(dotted(message) + ".\r\n"); err != nil {
		return r.failed("DATA", err)
	}
	return nil
}

// dotted makes a message transparent: RFC 5321 section 4.5.2.
func dotted(message string) string {
	if message != "" && !strings.HasSuffix(message, "\r\n") {
		message += "\r\n"
	}
	message = strings.ReplaceAll(message, "\r\n.", "\r\n..")
	if strings.HasPrefix(message, ".") {
		message = "." + message
	}
	return message
}
