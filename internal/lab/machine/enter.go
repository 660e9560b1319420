// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
)

func unmarshal(data []byte, into any) error { return json.Unmarshal(data, into) }

// Enter runs a command in the machine behind a connection, and returns how it ended.
// Input is read to its end, or to that of the command.
func Enter(c net.Conn, r Request, stdin io.Reader, stdout, stderr io.Writer) (Exit, error) {
	f := &frames{w: c}
	if err := f.sendJSON(request, r); err != nil {
		return Exit{}, fmt.Errorf("machine: %w", err)
	}
	go func() { // it ends with the connection, or with the caller
		if _, err := io.Copy(stream{f, input}, stdin); err == nil {
			_ = f.send(input, nil)
		}
	}()
	for {
		k, data, err := receive(c)
		if err != nil {
			return Exit{}, fmt.Errorf("machine: the connection ended before the command: %w", err)
		}
		switch k {
		case output:
			_, err = stdout.Write(data)
		case errout:
			_, err = stderr.Write(data)
		case exit:
			var e Exit
			err = unmarshal(data, &e)
			return e, err
		default:
			err = errFrame
		}
		if err != nil {
			return Exit{}, fmt.Errorf("machine: %w", err)
		}
	}
}
