// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Result compares one figure.
type Result struct {
	Part   string  `json:"part"` // of the benchmarks
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Ours   float64 `json:"ours"`   // median
	Theirs float64 `json:"theirs"` // median
	Peer   string  `json:"peer"`
	Ratio  float64 `json:"ratio"` // ours to theirs; 0 if theirs is 0
	Runs   int     `json:"runs"`  // of each
}

// Samples are the values measured for one figure, in the order measured.
type Samples struct {
	Name, Unit, Peer string
	Ours, Theirs     []float64
}

// Results gives the medians of one part of the benchmarks.
func Results(part string, samples []Samples) []Result {
	var results []Result
	for _, s := range samples {
		r := s.Result()
		r.Part = part
		results = append(results, r)
	}
	return results
}

// Result gives the medians.
func (s Samples) Result() Result {
	r := Result{
		Name: s.Name, Unit: s.Unit, Peer: s.Peer,
		Ours: median(s.Ours), Theirs: median(s.Theirs),
		Runs: min(len(s.Ours), len(s.Theirs)),
	}
	if r.Theirs != 0 {
		r.Ratio = r.Ours / r.Theirs
	}
	return r
}

// median of no values is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// Renewed puts the results of one part in the place of those that a list has of
// it.
func Renewed(list, results []Result, part string) []Result {
	list = slices.DeleteFunc(slices.Clone(list), func(r Result) bool { return r.Part == part })
	return append(list, results...)
}

// WriteJSON prints results for scripts.
func WriteJSON(w io.Writer, results any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(results)
}

// WriteTable prints the results as a Markdown table.
func WriteTable(w io.Writer, results []Result) {
	fmt.Fprintln(w, "| what | unit | mailha | peer | peer's | ratio | runs |")
	fmt.Fprintln(w, "|---|---|---:|---|---:|---:|---:|")
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %.2f | %d |\n", r.Name, r.Unit, figure(r.Ours), r.Peer, figure(r.Theirs), r.Ratio, r.Runs)
	}
}

// figure shows three digits or so.
func figure(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
