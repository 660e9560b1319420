// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/mailha/mailha/agents/ldap"
)

// urlList is a list of LDAP URLs or addresses.
type urlList []ldap.URL

// Set splits a list at white space and commas.
func (v *urlList) Set(s string) error {
	var urls urlList
	for _, field := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		u, err := ldap.ParseURL(field)
		if err != nil {
			return err
		}
		if !slices.Contains(urls, u) {
			urls = append(urls, u)
		}
	}
	*v = urls
	return nil
}

func (v *urlList) String() string {
	texts := make([]string, len(*v))
	for i, u := range *v {
		texts[i] = u.String()
	}
	return strings.Join(texts, " ")
}

// OCFType is that of a text.
func (*urlList) OCFType() string { return "string" }

// days is a number of days, up to a year.
type days int

// Set reads a whole number.
func (v *days) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 366 {
		return errors.New("must be a number of days from 0 to 366")
	}
	*v = days(n)
	return nil
}

func (v *days) String() string { return strconv.Itoa(int(*v)) }

// OCFType is that of a number.
func (*days) OCFType() string { return "integer" }
