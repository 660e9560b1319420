// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	maxRequest  = 4096             // bytes
	requestTime = 5 * time.Second  // for the request to arrive
	actionTime  = 60 * time.Second // for the action to be done
)

// Server carries out what agents ask for.
type Server struct {
	listener *net.UnixListener
	power    Power
	log      string
	stop     context.CancelFunc
	wg       sync.WaitGroup
	mu       sync.Mutex // guards the log
}

// Listen starts a server on the socket, replacing one that a dead server left,
// and writes what it did to the log file.
func Listen(socket, log string, power Power) (*Server, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("fencing: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("fencing: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{listener: l, power: power, log: log, stop: stop}
	s.wg.Go(func() { s.accept(ctx) })
	return s, nil
}

// Close stops the server and waits for actions under way to give up.
func (s *Server) Close() {
	s.stop()
	s.listener.Close()
	s.wg.Wait()
}

func (s *Server) accept(ctx context.Context) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		s.wg.Go(func() {
			defer conn.Close()
			s.serve(ctx, conn)
		})
	}
}

func (s *Server) serve(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn.SetReadDeadline(time.Now().Add(requestTime))
	var req request
	if err := json.NewDecoder(io.LimitReader(conn, maxRequest)).Decode(&req); err != nil {
		json.NewEncoder(conn).Encode(reply{Err: "bad request: " + err.Error()})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, actionTime)
	defer cancel()
	json.NewEncoder(conn).Encode(s.do(ctx, req))
}

func (s *Server) do(ctx context.Context, req request) reply {
	var r reply
	var err error
	switch req.Action {
	case List:
		r.Nodes = s.power.Nodes()
	case Status:
		r.On, err = s.power.IsOn(req.Node)
	case Off, On, Reboot:
		err = s.turn(ctx, req)
	default:
		err = fmt.Errorf("unknown action %q", req.Action)
	}
	if err != nil {
		r.Err = err.Error()
	}
	return r
}

// turn switches the node and logs it. A reboot has done its duty when the node
// is off; that it fails to come up again is logged but no failure of fencing.
func (s *Server) turn(ctx context.Context, req request) error {
	e := Event{Time: time.Now(), Action: req.Action, Node: req.Node}
	var err, upErr error
	if req.Action != On {
		if err = s.power.Off(ctx, req.Node); err == nil {
			e.OffIn = time.Since(e.Time)
		}
	}
	if req.Action == On {
		err = s.power.On(ctx, req.Node)
	}
	if req.Action == Reboot && err == nil {
		upErr = s.power.On(ctx, req.Node)
	}
	e.Took = time.Since(e.Time)
	if all := errors.Join(err, upErr); all != nil {
		e.Err = all.Error()
	}
	return errors.Join(err, s.write(e))
}

func (s *Server) write(e Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fencing log: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
