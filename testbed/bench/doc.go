// Package bench measures DaoliNet against the numbers that it is to reach. Each
// line of the report is a quantity with its target; where the target is a ratio,
// both sides are measured in the same run, in alternating rounds, and the line
// is the median of the rounds: what else the machine does meets both alike.
//
//	Lines ──► the table of what is promised
//	Measurements ──► functions that return quantities for some of its lines
//	Run ──► both joined: a Row per line, ok or MISS
//	Table, Markdown, JSON ──► rows as text
//
// Some measurements need root: they build namespaces and Open vSwitch by
// testbed/netns, and send packets nowhere else.
package bench
