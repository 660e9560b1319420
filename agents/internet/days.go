// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"errors"
	"strconv"
)

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
