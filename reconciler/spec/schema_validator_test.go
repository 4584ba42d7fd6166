package spec_test

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// refusal returns why the JSON Schema s, a part of root, refuses v, or "". It
// knows the keywords that Schema uses and fails the test at any other.
func refusal(t *testing.T, root, s map[string]any, v any) string {
	t.Helper()
	for _, keyword := range slices.Sorted(maps.Keys(s)) {
		j := judgement{t: t, root: root, schema: s, keyword: keyword, arg: s[keyword]}
		var text string
		switch value := v.(type) {
		case map[string]any:
			text = j.ofObject(value)
		case []any:
			text = j.ofArray(value)
		case string:
			text = j.ofString(value)
		}
		if text == "" {
			text = j.ofAny(v)
		}
		if text != "" {
			return text
		}
	}
	return ""
}

// judgement is one keyword of a schema and its argument.
type judgement struct {
	t       *testing.T
	root    map[string]any
	schema  map[string]any
	keyword string
	arg     any
}

// by returns why another schema refuses v.
func (j judgement) by(schema, v any) string {
	return refusal(j.t, j.root, schema.(map[string]any), v)
}

// ofAny judges by the keywords that hold for values of every type.
func (j judgement) ofAny(v any) string {
	switch j.keyword {
	case "$schema", "title", "description", "default", "$defs", "then":
	case "properties", "required", "additionalProperties", "propertyNames", "minProperties",
		"items", "minItems", "maxItems", "pattern", "minLength", "maxLength":
	case "$ref":
		name := strings.TrimPrefix(j.arg.(string), "#/$defs/")
		def, found := j.root["$defs"].(map[string]any)[name]
		if !found {
			j.t.Fatalf("the schema refers to %q, which is not there", j.arg)
		}
		return j.by(def, v)
	case "type":
		if !isType(v, j.arg.(string)) {
			return fmt.Sprintf("%v is no %v", v, j.arg)
		}
	case "const":
		if !reflect.DeepEqual(v, j.arg) {
			return fmt.Sprintf("%v is not %v", v, j.arg)
		}
	case "enum":
		if !slices.ContainsFunc(j.arg.([]any), func(e any) bool { return reflect.DeepEqual(e, v) }) {
			return fmt.Sprintf("%v is none of %v", v, j.arg)
		}
	case "minimum", "maximum":
		n, is := asNumber(v)
		if bound := j.arg.(float64); is && (j.keyword == "minimum" && n < bound || j.keyword == "maximum" && n > bound) {
			return fmt.Sprintf("%v is beyond the %s %v", v, j.keyword, bound)
		}
	default:
		return j.ofSchemas(v)
	}
	return ""
}

// ofSchemas judges by the keywords that put schemas together.
func (j judgement) ofSchemas(v any) string {
	switch j.keyword {
	case "allOf":
		for _, s := range j.arg.([]any) {
			if text := j.by(s, v); text != "" {
				return text
			}
		}
	case "oneOf":
		var texts []string
		for _, s := range j.arg.([]any) {
			if text := j.by(s, v); text != "" {
				texts = append(texts, text)
			}
		}
		if fit := len(j.arg.([]any)) - len(texts); fit != 1 {
			return fmt.Sprintf("%d of oneOf hold: %q", fit, texts)
		}
	case "not":
		if j.by(j.arg, v) == "" {
			return fmt.Sprintf("not %v", j.arg)
		}
	case "if":
		if j.by(j.arg, v) == "" {
			return j.by(j.schema["then"], v)
		}
	default:
		j.t.Fatalf("the schema has the keyword %q, which the test doesn't know", j.keyword)
	}
	return ""
}

func (j judgement) ofObject(v map[string]any) string {
	switch j.keyword {
	case "required":
		for _, k := range j.arg.([]any) {
			if _, found := v[k.(string)]; !found {
				return fmt.Sprintf("no key %v", k)
			}
		}
	case "minProperties":
		if len(v) < int(j.arg.(float64)) {
			return "too few keys"
		}
	case "properties":
		for k, s := range j.arg.(map[string]any) {
			if e, found := v[k]; found {
				if text := j.by(s, e); text != "" {
					return k + ": " + text
				}
			}
		}
	case "propertyNames":
		for k := range v {
			if text := j.by(j.arg, k); text != "" {
				return text
			}
		}
	case "additionalProperties":
		known, _ := j.schema["properties"].(map[string]any)
		for k, e := range v {
			if _, found := known[k]; found {
				continue
			}
			if j.arg == false {
				return fmt.Sprintf("the key %q is unknown", k)
			}
			if text := j.by(j.arg, e); text != "" {
				return k + ": " + text
			}
		}
	}
	return ""
}

func (j judgement) ofArray(v []any) string {
	switch n, _ := j.arg.(float64); {
	case j.keyword == "minItems" && len(v) < int(n), j.keyword == "maxItems" && len(v) > int(n):
		return fmt.Sprintf("%s is %v, and there are %d", j.keyword, n, len(v))
	case j.keyword == "items":
		for _, e := range v {
			if text := j.by(j.arg, e); text != "" {
				return text
			}
		}
	}
	return ""
}

func (j judgement) ofString(v string) string {
	switch n, _ := j.arg.(float64); {
	case j.keyword == "minLength" && utf8.RuneCountInString(v) < int(n),
		j.keyword == "maxLength" && utf8.RuneCountInString(v) > int(n):
		return fmt.Sprintf("%s is %v, of %q", j.keyword, n, v)
	case j.keyword == "pattern" && !regexp.MustCompile(j.arg.(string)).MatchString(v):
		return fmt.Sprintf("%q is not as %s", v, j.arg)
	}
	return ""
}

func isType(v any, name string) bool {
	switch v.(type) {
	case map[string]any:
		return name == "object"
	case []any:
		return name == "array"
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	}
	n, is := asNumber(v)
	return is && name == "integer" && n == math.Trunc(n)
}

func asNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	}
	return 0, false
}
