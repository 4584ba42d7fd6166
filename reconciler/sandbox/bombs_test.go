package sandbox_test

import (
	"fmt"
	"strings"
)

// doubling is x0 to xN, each twice the one before, which costs nothing until
// somebody looks at all of it.
func doubling(v string, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\t%s0 := [input.port, input.port]\n", v)
	for i := range n {
		fmt.Fprintf(&b, "\t%s%d := [%s%d, %s%d]\n", v, i+1, v, i, v, i)
	}
	return b.String()
}

// loops is a body of nested loops over ten values each.
func loops(n int, last string) string {
	var b strings.Builder
	b.WriteString("\tx := [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]\n")
	for i := range n {
		fmt.Fprintf(&b, "\tsome v%d in x\n", i)
	}
	return b.String() + "\t" + last + "\n"
}

func deny(body string) string { return "deny if {\n" + body + "}\n" }

// nested are comprehensions in each other.
func nested(n int) string {
	return strings.Repeat("[y | y := ", n) + "input.port" + strings.Repeat("]", n)
}

// unordered is a body whose expressions must be ordered by the compiler.
func unordered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\ta%d = a%d + 1\n", i, i+1)
	}
	fmt.Fprintf(&b, "\ta%d = input.port\n", n)
	return b.String()
}

// dynamic are references to the own package that only an evaluation resolves.
func dynamic(n int) string {
	var b strings.Builder
	b.WriteString("deny if d0\n\n")
	for i := range n {
		fmt.Fprintf(&b, "d%d if data.tenants.acme.policy[input.src.groups[_]][input.proto] == %d\n\n", i, i)
	}
	return b.String()
}

// bombs pass vetting, and do harm when they are compiled or asked.
var bombs = map[string]string{
	"loop":                   deny(loops(9, "v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7 + v8 < 0 - 1")),
	"deep loop":              deny(loops(14, "v13 == 11")),
	"loop over input":        deny(strings.Repeat("\tinput.src.groups[_] == \"web\"\n", 2) + loops(9, "v8 + input.port < 0")),
	"loop in a test of all":  deny("\tx := [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]\n\tevery a in x {\n\t\tevery b in x {\n\t\t\tevery c in x {\n\t\t\t\tevery d in x {\n\t\t\t\t\tevery e in x {\n\t\t\t\t\t\tevery f in x {\n\t\t\t\t\t\t\tevery g in x {\n\t\t\t\t\t\t\t\ta + b + c + d + e + f + g >= 0\n\t\t\t\t\t\t\t}\n\t\t\t\t\t\t}\n\t\t\t\t\t}\n\t\t\t\t}\n\t\t\t}\n\t\t}\n\t}\n"),
	"loop through functions": "f(a) := count([1 | some i in a; some j in a; some k in a; some l in a; some m in a; some n in a; i + j + k + l + m + n > 0])\n\n" + deny("\tf([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]) < 0\n"),
	"loop in allow_ingress":  "allow_ingress if {\n" + loops(9, "v0 + v8 < 0") + "}\n",
	"loop in allow_egress":   "allow_egress if {\n" + loops(9, "v0 + v8 < 0") + "}\n",
	"loop in a negation":     deny("\tnot quiet\n") + "\nquiet if {\n" + loops(9, "v0 + v8 < 0") + "}\n",
	"loop over strings":      deny(loops(9, "sprintf(\"%d%d%d\", [v0, v1, v8]) == \"x\"")),
	"loop over regex":        deny(loops(8, "regex.match(\"^(a+)+$\", sprintf(\"aaaaaaaaaaaaaaaa%d\", [v0 + v7]))")),
	"a set without end":      deny("\ts := {[v0, v1, v2, v3, v4, v5, v6, v7] |\n" + loops(8, "true") + "\t}\n\tcount(s) < 0\n"),
	"an array without end":   deny("\ts := [[v0, v1, v2, v3, v4, v5, v6, v7] |\n" + loops(8, "true") + "\t]\n\tcount(s) < 0\n"),
	"an object without end":  deny("\ts := {sprintf(\"%d.%d.%d.%d.%d.%d.%d\", [v0, v1, v2, v3, v4, v5, v6]): 1 |\n" + loops(7, "true") + "\t}\n\tcount(s) < 0\n"),
	"a partial set":          "big contains [v0, v1, v2, v3, v4, v5, v6, v7] if {\n" + loops(8, "true") + "}\n\ndeny if count(big) < 0\n",
	"deny is without end":    "deny contains [v0, v1, v2, v3, v4, v5, v6, v7] if {\n" + loops(8, "true") + "}\n",
	"doubling, compared":     deny(doubling("x", 40) + doubling("y", 40) + "\tx40 == y40\n"),
	"doubling, sorted":       deny(doubling("x", 40) + "\tcount(sort([x40, x39])) == 0\n"),
	"doubling, printed":      deny(doubling("x", 40) + "\tsprintf(\"%v\", [x40]) == \"x\"\n"),
	"doubling, in a set":     deny(doubling("x", 40) + "\tcount({x40, x39}) == 0\n"),
	"doubling, as a key":     deny(doubling("x", 40) + "\to := {x40: 1}\n\to[x39]\n"),
	"a string that doubles":  deny("\ts0 := sprintf(\"%d%s\", [input.port, \"aaaaaaaaaaaaaaaa\"])\n" + doublingText(32) + "\tcontains(s32, \"b\")\n"),
	"a number that squares":  deny(squaring(40) + "\tn40 == 1\n"),
	"an array that doubles":  deny("\ta0 := [input.port, 1, 2, 3, 4, 5, 6, 7]\n" + doublingArray(32) + "\tcount(a32) < 0\n"),
	"nested comprehensions":  deny("\tcount(" + nested(24) + ") == 0\n"),
	"types that double":      deny("\tx0 := [1, \"a\"]\n\ty0 := [1, \"a\"]\n" + typesDoubling(30)),
	"a test without end":     "deny if input.port == 1\n",
	"a long unordered body":  deny(unordered(900)),
	"references to all":      dynamic(490),
}

func doublingText(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\ts%d := concat(\"\", [s%d, s%d])\n", i+1, i, i)
	}
	return b.String()
}

func doublingArray(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\ta%d := array.concat(a%d, a%d)\n", i+1, i, i)
	}
	return b.String()
}

func squaring(n int) string {
	var b strings.Builder
	b.WriteString("\tn0 := input.port + 10000000001\n")
	for i := range n {
		fmt.Fprintf(&b, "\tn%d := n%d * n%d\n", i+1, i, i)
	}
	return b.String()
}

func typesDoubling(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\tx%d := [x%d, x%d]\n\ty%d := [y%d, y%d]\n", i+1, i, i, i+1, i, i)
	}
	fmt.Fprintf(&b, "\tx%d == y%d\n", n, n)
	return b.String()
}

// endlessTest is a test that goes with "a test without end".
const endlessTest = "package tenants.acme.policy_test\n\ntest_all if {\n\tx := [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]\n\tsome a in x\n\tsome b in x\n\tsome c in x\n\tsome d in x\n\tsome e in x\n\tsome f in x\n\tsome g in x\n\tsome h in x\n\tsome i in x\n\ta + b + c + d + e + f + g + h + i < 0\n}\n"
