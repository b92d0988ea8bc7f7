// Prints the messages and fields of the kinds that a lab serves, as headlessdns/lab/api/protobuf_fields.txt has them:
//
//	go run ./protobuf >../../headlessdns/lab/api/protobuf_fields.txt
package main

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

var served = []string{
	"apps/v1 ControllerRevision Deployment ReplicaSet StatefulSet",
	"autoscaling/v1 Scale",
	"coordination.k8s.io/v1 Lease",
	"discovery.k8s.io/v1 EndpointSlice",
	"networking.k8s.io/v1 NetworkPolicy",
	"policy/v1 Eviction PodDisruptionBudget",
	"rbac.authorization.k8s.io/v1 ClusterRole ClusterRoleBinding Role RoleBinding",
	"storage.k8s.io/v1 StorageClass",
	"v1 Binding ConfigMap Endpoints Event Namespace Node PersistentVolume PersistentVolumeClaim Pod Secret Service " +
		"ServiceAccount",
}

// Types that are no plain message in JSON; the reader knows them by name.
var special = map[string]bool{
	"meta.Time": true, "meta.MicroTime": true, "meta.FieldsV1": true,
	"intstr.IntOrString": true, "resource.Quantity": true, "runtime.RawExtension": true,
}

type printer struct {
	done    map[string]bool
	waiting []reflect.Type
}

// name returns core.Pod for k8s.io/api/core/v1.Pod; v2 where the version is not the first.
func name(t reflect.Type) string {
	parts := strings.Split(t.PkgPath(), "/")
	last := parts[len(parts)-1]
	if last == "v1" {
		last = parts[len(parts)-2]
	} else if last == "v2" {
		last = parts[len(parts)-2] + "2"
	}
	return last + "." + t.Name()
}

func (p *printer) kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return p.kind(t.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int32, reflect.Int64, reflect.Int:
		return "int"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + p.kind(t.Elem())
	case reflect.Map:
		return "{}" + p.kind(t.Elem())
	case reflect.Struct:
		if !special[name(t)] {
			p.waiting = append(p.waiting, t)
		}
		return name(t)
	}
	panic(t.String())
}

func (p *printer) message(t reflect.Type) {
	if p.done[name(t)] {
		return
	}
	p.done[name(t)] = true
	fmt.Println(name(t))
	type field struct {
		number int
		line   string
	}
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag := strings.Split(f.Tag.Get("protobuf"), ",")
		if len(tag) < 2 {
			continue // TypeMeta, which the envelope has
		}
		var number int
		fmt.Sscan(tag[1], &number)
		said := strings.Split(f.Tag.Get("json"), ",")
		omitted := slices.Contains(said, "omitzero") || slices.Contains(said, "omitempty") && f.Type.Kind() != reflect.Struct
		jsonName := said[0]
		kind := p.kind(f.Type)
		if jsonName == "" {
			jsonName = "+" // its fields stand among those of this message
		}
		isPlural := strings.HasPrefix(kind, "[]") || strings.HasPrefix(kind, "{}")
		if !isPlural && (f.Type.Kind() == reflect.Pointer || !omitted) {
			kind += "!" // JSON has it even where it is "", 0, false or {}
		}
		fields = append(fields, field{number, fmt.Sprintf(" %d %s %s", number, jsonName, kind)})
	}
	sort.Slice(fields, func(a, b int) bool { return fields[a].number < fields[b].number })
	for _, f := range fields {
		fmt.Println(f.line)
	}
}

func main() {
	p := &printer{done: map[string]bool{}}
	fmt.Println("# Made by tests/realcluster/protobuf from the types of k8s.io/api v0.36.3: each message with the numbers, names and")
	fmt.Println("# types of its fields. A line with = says which message a kind is; ! that JSON has what is empty, + that JSON has no")
	fmt.Println("# level of its own.")
	root := func(groupVersion, kind string, t reflect.Type) {
		fmt.Printf("= %s %s %s\n", groupVersion, kind, name(t))
		p.waiting = append(p.waiting, t)
	}
	for _, line := range served {
		words := strings.Fields(line)
		groupVersion, err := schema.ParseGroupVersion(words[0])
		if err != nil {
			panic(err)
		}
		for _, kind := range words[1:] {
			found, err := scheme.Scheme.New(groupVersion.WithKind(kind))
			if err != nil {
				panic(err)
			}
			root(words[0], kind, reflect.TypeOf(found).Elem())
		}
	}
	root("*", "DeleteOptions", reflect.TypeFor[meta.DeleteOptions]())
	for len(p.waiting) > 0 {
		next := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.message(next)
	}
}
