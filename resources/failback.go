// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Failback is when a group that runs well goes back to a node that it prefers.
// The zero value is never.
type Failback struct {
	// Always: as soon as that node has been there for the group's stickiness.
	Always bool
	// Days and the minutes of the day bound the time in which it may, by the
	// clock of the node that decides. No days, and not Always: never. A To that is
	// not after From is on the next day.
	Days     []time.Weekday
	From, To int // minutes since midnight, 0 to 1439
}

const (
	failbackNever  = "never"
	failbackAlways = "immediate"
	minutesOfDay   = 24 * 60
)

var errFailback = errors.New(`it may be "never", "immediate" or a time such as "Sun 02:00-04:00", "Sat,Sun 23:30-01:30" or "02:00-04:00" (every day)`)

// ParseFailback reads "never", "immediate", or a time of the week: days, by
// their first three letters and separated by commas, and the time of day in
// which it begins and ends.
func ParseFailback(text string) (Failback, error) {
	switch text {
	case failbackNever:
		return Failback{}, nil
	case failbackAlways:
		return Failback{Always: true}, nil
	}
	words := strings.Fields(text)
	var days []time.Weekday
	switch len(words) {
	case 1:
		for d := time.Sunday; d <= time.Saturday; d++ {
			days = append(days, d)
		}
	case 2:
		for name := range strings.SplitSeq(words[0], ",") {
			d, ok := weekday(name)
			if !ok || slices.Contains(days, d) {
				return Failback{}, errFailback
			}
			days = append(days, d)
		}
	default:
		return Failback{}, errFailback
	}
	slices.Sort(days)
	from, to, ok := strings.Cut(words[len(words)-1], "-")
	start, ok1 := minute(from)
	end, ok2 := minute(to)
	if !ok || !ok1 || !ok2 || start == end {
		return Failback{}, errFailback
	}
	return Failback{Days: days, From: start, To: end % minutesOfDay}, nil
}

func weekday(name string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(name, d.String()[:3]) {
			return d, true
		}
	}
	return 0, false
}

func minute(text string) (int, bool) {
	if !regexp.MustCompile(`^[0-9]{2}:[0-9]{2}$`).MatchString(text) {
		return 0, false
	}
	h, _ := strconv.Atoi(text[:2])
	m, _ := strconv.Atoi(text[3:])
	return h*60 + m, m < 60 && (h < 24 || h == 24 && m == 0)
}

// String is the text that ParseFailback reads.
func (f Failback) String() string {
	if f.Always {
		return failbackAlways
	}
	if len(f.Days) == 0 {
		return failbackNever
	}
	clock := fmt.Sprintf("%02d:%02d-%02d:%02d", f.From/60, f.From%60, f.To/60, f.To%60)
	if len(f.Days) == 7 {
		return clock
	}
	return strings.Join(names(f.Days, func(d time.Weekday) string { return d.String()[:3] }), ",") + " " + clock
}

// Never says whether no time at all is allowed.
func (f Failback) Never() bool { return !f.Always && len(f.Days) == 0 }

// Allows says whether a group may go back at a time.
func (f Failback) Allows(t time.Time) bool {
	return f.Always || !f.Until(t).IsZero()
}

// Next is the first time from t on that is allowed; zero: never.
func (f Failback) Next(t time.Time) time.Time {
	if f.Allows(t) {
		return t
	}
	for day := range 9 { // a week later at the latest, and where a clock is put forward a day more
		start, _ := f.window(t, day)
		if slices.Contains(f.Days, start.Weekday()) && start.After(t) && f.Allows(start) {
			return start
		}
	}
	return time.Time{}
}

// window is the one of the day that is so many days after t's.
func (f Failback) window(t time.Time, day int) (start, end time.Time) {
	at := func(day, minute int) time.Time {
		return time.Date(t.Year(), t.Month(), t.Day()+day, 0, minute, 0, 0, t.Location())
	}
	if f.To <= f.From {
		return at(day, f.From), at(day+1, f.To)
	}
	return at(day, f.From), at(day, f.To)
}

// Until is the end of the window in which t is; zero: it is in none, or they
// have no end.
func (f Failback) Until(t time.Time) time.Time {
	// One that began yesterday may last until today.
	for _, day := range []int{-1, 0} {
		start, end := f.window(t, day)
		if slices.Contains(f.Days, start.Weekday()) && !t.Before(start) && t.Before(end) {
			return end
		}
	}
	return time.Time{}
}
