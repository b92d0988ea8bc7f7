// What the reference controller makes of StatefulSets: the data of a revision, and the hashes in its name.
//
// Reads the JSON list of cases in the file that is named, fills in the answers, and writes it back, a case a line.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	apps "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	defaults "k8s.io/kubernetes/pkg/apis/apps/v1"
	"k8s.io/kubernetes/pkg/controller/history"
)

// collisionCounts are those for which names are made.
var collisionCounts = []int32{0, 1, 5}

type golden struct {
	Name   string            `json:"name"`
	Input  json.RawMessage   `json:"input"`  // a StatefulSet as a person writes it
	Served json.RawMessage   `json:"served"` // as the API serves it: defaults filled in, unknown fields gone
	Data   string            `json:"data"`
	Names  map[string]string `json:"names"` // collision count -> name
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: golden FILE")
	}
	octets, err := os.ReadFile(os.Args[1])
	check(err)
	var cases []golden
	check(json.Unmarshal(octets, &cases))
	lines := make([]string, len(cases))
	for i, one := range cases {
		line, err := json.Marshal(answered(one))
		check(err)
		lines[i] = string(line)
	}
	check(os.WriteFile(os.Args[1], []byte("[\n"+strings.Join(lines, ",\n")+"\n]\n"), 0o644))
}

func answered(one golden) golden {
	object, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), one.Input)
	check(err)
	set := object.(*apps.StatefulSet)
	defaults.SetObjectDefaults_StatefulSet(set)
	set = throughTheWire(set)
	one.Served, err = runtime.Encode(scheme.Codecs.LegacyCodec(apps.SchemeGroupVersion), set)
	check(err)
	data := dataOf(one.Served)
	one.Data = string(data)
	one.Names = map[string]string{}
	for _, count := range collisionCounts {
		revision := &apps.ControllerRevision{Data: runtime.RawExtension{Raw: data}}
		hash := history.HashControllerRevision(revision, &count)
		one.Names[fmt.Sprint(count)] = history.ControllerRevisionName(set.Name, hash)
	}
	return one
}

// throughTheWire returns the set as a controller gets it: as protobuf, which knows no empty lists.
func throughTheWire(set *apps.StatefulSet) *apps.StatefulSet {
	octets, err := set.Marshal()
	check(err)
	var received apps.StatefulSet
	check(received.Unmarshal(octets))
	return &received
}

// dataOf returns what a revision holds of the set that is served so: its pod template, as a patch that replaces.
func dataOf(served []byte) []byte {
	var set map[string]any
	check(json.Unmarshal(served, &set))
	template := set["spec"].(map[string]any)["template"].(map[string]any)
	template["$patch"] = "replace"
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"template": template}})
	check(err)
	return data
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
