// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strings"
	"testing"
	"time"
)

func TestBoardTellsWhatWasMissed(t *testing.T) {
	b := Board{Columns: []string{"one", "two"}}
	for _, v := range []float64{30, 10, 25} {
		b.add("move", "address away", "ms", "one", v, 20)
	}
	b.add("move", "address away", "ms", "two", 500, 0)
	b.add("cut", "no greeting", "ms", "one", 11000, 11000)
	var text strings.Builder
	b.Write(&text, map[string]string{"address away": "The disk is slow.", "no greeting": "It was not missed."})
	for _, want := range []string{
		"| what | unit | one | two |\n",
		"| address away | ms | 25.0 (30.0), **missed:** ≤ 20.0 | 500 |\n",
		"| no greeting | ms | 11000, ≤ 11000 | – |\n",
		"Runs of each act: 3.\n",
		"- address away, one: 5.0 ms over the goal of 20.0. The disk is slow.\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "not missed") {
		t.Error("a goal that was met is told as missed")
	}
}

func TestMostWithin(t *testing.T) {
	e := ear{}
	for _, ms := range []int{0, 10, 20, 500, 1005, 1010, 1015, 1020} {
		e.all = append(e.all, time.Unix(0, 0).Add(time.Duration(ms)*time.Millisecond))
	}
	if got := e.most(time.Second); got != 5 {
		t.Errorf("within a second: %d", got)
	}
}
