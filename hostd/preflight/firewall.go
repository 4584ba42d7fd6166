package preflight

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// firewall finds rules that name the device. After joining, the host's packets
// come and go by the bridge's LOCAL, which the rules don't know.
func firewall(f Facts, add adder) {
	const way = "write them without the interface, or for the bridge too; or " + wayAddress
	rules := nftRules(f.NFT, f.Device)
	for _, dump := range f.IPTables {
		rules = append(rules, iptablesRules(dump, f.Device)...)
	}
	if len(rules) == 0 {
		return
	}
	more := ""
	if len(rules) > 1 {
		more = fmt.Sprintf(", and %d more", len(rules)-1)
	}
	add(Firewall, way, "the firewall names %s: %s%s", f.Device, rules[0], more)
}

// iptablesRules returns the lines of iptables-save whose rules match dev by name.
func iptablesRules(dump, dev string) []string {
	var found []string
	for line := range strings.Lines(dump) {
		words := strings.Fields(line)
		for i := 0; i+1 < len(words); i++ {
			switch words[i] {
			case "-i", "-o", "--in-interface", "--out-interface", "--physdev-in", "--physdev-out":
				if nameMatches(words[i+1], "+", dev) {
					found = append(found, "iptables "+strings.TrimSpace(line))
					i = len(words)
				}
			}
		}
	}
	return found
}

// nameMatches reports whether a firewall's name of an interface means dev. A name
// that ends in wild means all that begin so; the word for any interface at all
// means none in particular.
func nameMatches(name, wild, dev string) bool {
	name = strings.Trim(name, `"`)
	if prefix, isWild := strings.CutSuffix(name, wild); isWild {
		return prefix != "" && strings.HasPrefix(dev, prefix)
	}
	return name == dev
}

// nftRules returns the rules and base chains of `nft -j list ruleset` that name
// dev, but for our own table. What can't be read is a finding: nobody knows what
// it says.
func nftRules(dump, dev string) []string {
	if strings.TrimSpace(dump) == "" {
		return nil
	}
	var rs struct {
		Nftables []map[string]json.RawMessage `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(dump), &rs); err != nil {
		return []string{fmt.Sprintf("nft says what is not understood: %v", err)}
	}
	var found []string
	for _, object := range rs.Nftables {
		for what, raw := range object {
			if text, named := nftNames(what, raw, dev); named {
				found = append(found, text)
			}
		}
	}
	return found
}

// nftNames reports whether one object of nft's names dev, and says which it is.
func nftNames(what string, raw json.RawMessage, dev string) (string, bool) {
	var o struct {
		Family string          `json:"family"`
		Table  string          `json:"table"`
		Chain  string          `json:"chain"`
		Name   string          `json:"name"`
		Dev    json.RawMessage `json:"dev"`  // of base chains and flow tables: a name or several
		Elem   json.RawMessage `json:"elem"` // of sets and maps
		Expr   any             `json:"expr"`
	}
	if json.Unmarshal(raw, &o) != nil || o.Family == "netdev" && o.Table == "daoli" {
		return "", false
	}
	switch what {
	case "chain", "flowtable":
		return fmt.Sprintf("nft %s %s %s %s", what, o.Family, o.Table, o.Name), len(o.Dev) > 0 && mentions(o.Dev, dev)
	case "set", "map":
		return fmt.Sprintf("nft %s %s %s %s", what, o.Family, o.Table, o.Name), isNameSet(raw) && len(o.Elem) > 0 && mentions(o.Elem, dev)
	case "rule":
		return fmt.Sprintf("nft rule in %s %s %s", o.Family, o.Table, o.Chain), matchesInterface(o.Expr, dev)
	}
	return "", false
}

// isNameSet reports whether a set's elements, or some part of them, are names of
// interfaces.
func isNameSet(raw json.RawMessage) bool {
	var s struct {
		Type any `json:"type"`
	}
	if json.Unmarshal(raw, &s) != nil {
		return false
	}
	t := fmt.Sprint(s.Type)
	return strings.Contains(t, "ifname") || strings.Contains(t, "iface_index")
}

// mentions reports whether some string in JSON names dev.
func mentions(raw json.RawMessage, dev string) bool {
	var v any
	return json.Unmarshal(raw, &v) == nil && within(v, func(x any) bool {
		s, isText := x.(string)
		return isText && nameMatches(s, "*", dev)
	})
}

// interfaceKeys are nft's meta expressions that name an interface.
var interfaceKeys = []string{"iif", "iifname", "oif", "oifname", "ibrname", "obrname", "sdif", "sdifname"}

// matchesInterface reports whether a rule has a statement that compares an
// interface with dev, or forwards to dev.
func matchesInterface(expr any, dev string) bool {
	names := func(x any) bool {
		s, isText := x.(string)
		return isText && nameMatches(s, "*", dev)
	}
	return within(expr, func(x any) bool {
		object, isObject := x.(map[string]any)
		if !isObject {
			return false
		}
		for _, verb := range []string{"fwd", "dup", "vmap"} {
			if arg, found := object[verb]; found && within(arg, names) {
				return true
			}
		}
		m, isMatch := object["match"].(map[string]any)
		return isMatch && within(m["left"], isInterfaceKey) && within(m["right"], names)
	})
}

func isInterfaceKey(x any) bool {
	object, isObject := x.(map[string]any)
	if !isObject {
		return false
	}
	meta, isMeta := object["meta"].(map[string]any)
	if !isMeta {
		return false
	}
	key, _ := meta["key"].(string)
	return slices.Contains(interfaceKeys, key)
}

// within reports whether is holds for v or something in it.
func within(v any, is func(any) bool) bool {
	if is(v) {
		return true
	}
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(x any) bool { return within(x, is) })
	case map[string]any:
		for _, x := range v {
			if within(x, is) {
				return true
			}
		}
	}
	return false
}
