// SPDX-License-Identifier: Apache-2.0

// Package account reads names and passwords from a file.
//
// It must never put a password into an error.
package account

import (
	"bytes"
	"fmt"
	"os"
)

// Account is a name with its password.
type Account struct{ Name, Password string }

// Read gives the accounts of a file with a line NAME:PASSWORD for each, of which there is at least one. A password may
// have colons.
func Read(path string) ([]Account, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var accounts []Account
	n := 0
	for line := range bytes.Lines(data) {
		n++
		name, password, ok := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(":"))
		if !ok || len(name) == 0 {
			return nil, fmt.Errorf("%s: line %d is not NAME:PASSWORD", path, n)
		}
		accounts = append(accounts, Account{string(name), string(password)})
	}
	if len(accounts) == 0 {
		return nil, fmt.Errorf("%s: no accounts", path)
	}
	return accounts, nil
}

// Find is [Read] for the one of a name.
func Find(path, name string) (Account, error) {
	accounts, err := Read(path)
	if err != nil {
		return Account{}, err
	}
	for _, a := range accounts {
		if a.Name == name {
			return a, nil
		}
	}
	return Account{}, fmt.Errorf("%s: no account %q", path, name)
}
