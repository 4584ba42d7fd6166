package spec

import (
	"encoding/json"
	"fmt"
)

//go:generate go test -run ^TestSchemaIsPublished$ -count=1 . -update

// schema is one schema of JSON Schema draft 2020-12, with the keywords that are
// needed. What it can't say, such as that a name exists, it leaves to Load.
type schema struct {
	Schema      string `json:"$schema,omitempty"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Ref         string `json:"$ref,omitempty"`
	Type        string `json:"type,omitempty"`

	Const     any      `json:"const,omitempty"`
	Enum      []string `json:"enum,omitempty"`
	Default   any      `json:"default,omitempty"`
	Pattern   string   `json:"pattern,omitempty"`
	MinLength int      `json:"minLength,omitempty"`
	MaxLength int      `json:"maxLength,omitempty"`
	Minimum   int      `json:"minimum,omitempty"`
	Maximum   int      `json:"maximum,omitempty"`

	Items    *schema `json:"items,omitempty"`
	MinItems int     `json:"minItems,omitempty"`
	MaxItems int     `json:"maxItems,omitempty"`

	Required             []string           `json:"required,omitempty"`
	Properties           map[string]*schema `json:"properties,omitempty"`
	AdditionalProperties any                `json:"additionalProperties,omitempty"` // false or *schema
	PropertyNames        *schema            `json:"propertyNames,omitempty"`
	MinProperties        int                `json:"minProperties,omitempty"`

	AllOf []*schema `json:"allOf,omitempty"`
	OneOf []*schema `json:"oneOf,omitempty"`
	Not   *schema   `json:"not,omitempty"`
	If    *schema   `json:"if,omitempty"`
	Then  *schema   `json:"then,omitempty"`

	Defs map[string]*schema `json:"$defs,omitempty"`
}

// Schema returns the JSON Schema (draft 2020-12) of one document of the YAML, of
// whichever kind. It accepts whatever Load accepts; what it refuses Load refuses.
func Schema() []byte {
	text, err := json.MarshalIndent(documentSchema(), "", "  ")
	if err != nil {
		panic(fmt.Sprintf("write the schema: %v", err)) // it is made of what JSON has
	}
	return append(text, '\n')
}

// documentSchema is the schema of a document: what its metadata and spec are
// follows its kind.
func documentSchema() *schema {
	root := record("One object of a DaoliNet network", fields{
		"apiVersion": {Const: apiVersion},
		"kind":       {Enum: kindNames},
		"metadata":   {Type: "object"},
		"spec":       {Type: "object"},
	}, "apiVersion", "kind", "metadata", "spec")
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "DaoliNet " + apiVersion
	root.Defs = definitions()
	for _, kind := range kindNames {
		names := fields{"name": ref("name")}
		for _, k := range scopeKeys[kind] {
			names[k] = ref("name")
		}
		root.Defs["metadata"+kind] = record("What "+article(kind)+" is called", names, append([]string{"name"}, scopeKeys[kind]...)...)
		root.AllOf = append(root.AllOf, &schema{
			If: &schema{Properties: fields{"kind": {Const: kind}}, Required: []string{"kind"}},
			Then: &schema{Properties: fields{
				"metadata": ref("metadata" + kind),
				"spec":     ref(kind),
			}},
		})
	}
	return root
}

// fields are the properties of a record.
type fields = map[string]*schema

// record is a mapping that has no other keys than these.
func record(description string, properties fields, required ...string) *schema {
	return &schema{
		Description: description, Type: "object",
		Properties: properties, Required: required, AdditionalProperties: false,
	}
}

// ref is what is defined under a name.
func ref(name string) *schema { return &schema{Ref: "#/$defs/" + name} }

// list is a list of what items are, which may be empty.
func list(items *schema) *schema {
	return &schema{Type: "array", Items: items, MaxItems: MaxEntries}
}

// some is a list that must not be empty.
func some(items *schema) *schema {
	l := list(items)
	l.MinItems = 1
	return l
}

// two is a list of two.
func two(items *schema) *schema {
	return &schema{Type: "array", Items: items, MinItems: 2, MaxItems: 2}
}

// oneOf is a string among known.
func oneOf(known ...string) *schema { return &schema{Type: "string", Enum: known} }

// defaulting is s with the value that is meant where it is absent.
func defaulting(s *schema, value any) *schema {
	s.Default = value
	return s
}

// number is a whole number from 1 to most.
func number(most int) *schema { return &schema{Type: "integer", Minimum: 1, Maximum: most} }

// truth is a truth value.
func truth() *schema { return &schema{Type: "boolean"} }

// either says that exactly one of the keys is there.
func either(keys ...string) []*schema {
	var choices []*schema
	for _, k := range keys {
		choices = append(choices, &schema{Required: []string{k}})
	}
	return choices
}
