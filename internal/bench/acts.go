// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/bench/rival"
	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/traffic"
)

// move has everything go to the next node, as planned.
func (c *Contest) move(ctx context.Context, b *bout) error {
	nodes := b.rival.Ground().Lab.Nodes()
	to := nodes[(slices.Index(nodes, b.holder)+1)%len(nodes)]
	if err := b.rival.Move(ctx, to); err != nil {
		return err
	}
	if err := b.untilElsewhere(ctx, to); err != nil {
		return err
	}
	return b.untilGreets(ctx)
}

// kill ends Postfix's first process.
func (c *Contest) kill(ctx context.Context, b *bout) error {
	at, err := killMaster(ctx, b.holder)
	if err != nil {
		return err
	}
	noticed, err := untilLogged(ctx, b.holder, at, b.rival.Notice())
	if err != nil {
		return err
	}
	c.Tell(fmt.Sprintf("%-26s kill: noticed after %.1f ms", b.rival.Name(), millis(noticed.Sub(at))))
	c.board.add("kill", "service killed, noticed", "ms", b.rival.Name(), millis(noticed.Sub(at)), ours(b.rival, goalNotices))
	return b.untilGreets(ctx)
}

// cut takes a node's power away.
func (c *Contest) cut(ctx context.Context, b *bout) error {
	if err := b.holder.Kill(ctx); err != nil {
		return err
	}
	if err := b.untilElsewhere(ctx, nil); err != nil {
		return err
	}
	return b.untilGreets(ctx)
}

// note keeps what the client and the judge saw.
func (c *Contest) note(act string, r rival.Rival, seen traffic.Report, verdict judge.Verdict) {
	add := func(name, unit string, value, goal float64) { c.board.add(act, name, unit, r.Name(), value, goal) }
	switch act {
	case "move":
		add("planned move, address away", "ms", *seen.ICMPBlackoutMS, ours(r, goalAway))
		add("planned move, no SMTP greeting", "ms", *seen.BannerBlackoutMS, ours(r, goalGreets))
		add("planned move, longest pause of the prober itself", "ms", seen.ICMPStallMS, 0)
	case "kill":
		add("service killed, no SMTP greeting", "ms", *seen.BannerBlackoutMS, 0)
	case "cut":
		goal := 0.0
		greets := goal
		if lease := r.Lease(); lease > 0 {
			goal = millis(lease + goalAfter)
			greets = goal
		}
		if m, is := r.(*rival.Mailhad); is && m.Fences() {
			goal = goalFenced
			if m.LosesLeader() {
				goal = goalElected
			}
			greets = goal + goalWarm
		}
		add("power cut, address away", "ms", *seen.ICMPBlackoutMS, goal)
		add("power cut, no SMTP greeting", "ms", *seen.BannerBlackoutMS, greets)
	}
	add(act+": times that the address was on two nodes", "count", float64(len(verdict.Doubles)), 0)
}

// ours gives goals to mailhad alone: nobody else has set them.
func ours(r rival.Rival, goal float64) float64 {
	if _, is := r.(*rival.Mailhad); is {
		return goal
	}
	return 0
}

// killMaster returns when it did so, by the clock that nodes and host share.
func killMaster(ctx context.Context, n *lab.Node) (time.Time, error) {
	out, err := n.Output(ctx, "bash", "-euc", "read pid <"+rival.PIDFile+"; echo $EPOCHREALTIME; kill -9 $pid")
	if err != nil {
		return time.Time{}, err
	}
	micros, err := strconv.ParseInt(strings.NewReplacer(".", "", ",", "").Replace(out), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("when it was killed: %w", err)
	}
	return time.UnixMicro(micros), nil
}

// untilLogged waits for a line of a node's journal, and returns when it was written.
func untilLogged(ctx context.Context, n *lab.Node, since time.Time, pattern string) (time.Time, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return time.Time{}, err
	}
	for {
		at, err := logged(ctx, n, since, re)
		if err == nil {
			return at, nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func logged(ctx context.Context, n *lab.Node, since time.Time, re *regexp.Regexp) (time.Time, error) {
	// Those of the same second come along.
	out, err := n.Output(ctx, "journalctl", "--no-pager", "--output=json", "--output-fields=MESSAGE,_SOURCE_REALTIME_TIMESTAMP",
		fmt.Sprintf("--since=@%d", since.Unix()))
	if err != nil {
		return time.Time{}, err
	}
	lines := bufio.NewScanner(strings.NewReader(out))
	const longest = 1 << 20
	lines.Buffer(nil, longest)
	for lines.Scan() {
		var l struct {
			Message any    `json:"MESSAGE"`
			Sent    string `json:"_SOURCE_REALTIME_TIMESTAMP"`
			Taken   string `json:"__REALTIME_TIMESTAMP"`
		}
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		text, _ := l.Message.(string)
		if l.Sent == "" {
			l.Sent = l.Taken
		}
		micros, err := strconv.ParseInt(l.Sent, 10, 64)
		if at := time.UnixMicro(micros); err == nil && !at.Before(since) && re.MatchString(text) {
			return at, nil
		}
	}
	return time.Time{}, errors.Join(lines.Err(), fmt.Errorf("%s: the journal has no line %q", n.Name(), re))
}
