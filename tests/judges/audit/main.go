// Judge of the audit log, with Go's own packages for notes and logs: every checkpoint is signed by the key, its root is the
// one of the exported records, and each is consistent with the ones before it. Changed logs and checkpoints must fail.
//
//	main KEY EXPORT CHECKPOINT...        (checkpoints by their size)
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	read := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(h)) {
			return nil, fmt.Errorf("the log has no hash %d", index)
		}
		read[i] = h[index]
	}
	return read, nil
}

func main() {
	records, err := os.ReadFile(os.Args[2])
	check(err)
	leaves := bytes.Split(bytes.TrimSuffix(records, []byte("\n")), []byte("\n"))
	var notes [][]byte
	for _, file := range os.Args[3:] {
		text, err := os.ReadFile(file)
		check(err)
		notes = append(notes, text)
	}
	check(judge(os.Args[1], leaves, notes))
	mutants := 0
	mustFail := func(what string, leaves [][]byte, notes [][]byte) {
		mutants++
		if judge(os.Args[1], leaves, notes) == nil {
			check(fmt.Errorf("not noticed: %s", what))
		}
	}
	_, covered, _, err := open(os.Args[1], notes[len(notes)-1])
	check(err)
	for i := 0; i < int(covered); i++ {
		changed := append([][]byte{}, leaves...)
		changed[i] = append([]byte{}, leaves[i]...)
		changed[i][len(changed[i])/2] ^= 1
		mustFail("changed record", changed, notes)
		mustFail("deleted record", append(append([][]byte{}, leaves[:i]...), leaves[i+1:]...), notes)
		added := append(append([][]byte{}, leaves[:i]...), leaves[(i+1)%len(leaves)])
		mustFail("added record", append(added, leaves[i:]...), notes)
		if i > 0 {
			swapped := append([][]byte{}, leaves...)
			swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
			mustFail("swapped records", swapped, notes)
		}
		mustFail("truncated log", leaves[:i], notes)
	}
	for i := range notes {
		for at := range notes[i] {
			// What is signed; Go ignores signatures of keys that it does not know.
			if changed := append([]byte{}, notes[i]...); at <= bytes.Index(notes[i], []byte("\n\n")) {
				changed[at] ^= 1
				mustFail("changed checkpoint", leaves, append(append(append([][]byte{}, notes[:i]...), changed), notes[i+1:]...))
			}
		}
	}
	fmt.Printf("%d records, %d checkpoints; %d changed logs and checkpoints refused\n", len(leaves), len(notes), mutants)
}

// Compares each checkpoint with the log, and with the checkpoint before it.
func judge(key string, leaves, notes [][]byte) error {
	var stored hashes
	for n, leaf := range leaves {
		more, err := tlog.StoredHashes(int64(n), leaf, stored)
		if err != nil {
			return err
		}
		stored = append(stored, more...)
	}
	var before int64
	var rootBefore tlog.Hash
	for _, text := range notes {
		_, size, root, err := open(key, text)
		if err != nil {
			return err
		}
		computed, err := tlog.TreeHash(size, stored)
		if err != nil || computed != root {
			return fmt.Errorf("another root: %v", err)
		}
		if before > 0 {
			proof, err := tlog.ProveTree(size, before, stored)
			if err != nil {
				return err
			}
			if err := tlog.CheckTree(proof, size, root, before, rootBefore); err != nil {
				return err
			}
		}
		before, rootBefore = size, root
	}
	return nil
}

// Verifies the signature of a checkpoint; its origin, size and root.
func open(key string, text []byte) (string, int64, tlog.Hash, error) {
	fail := func(err error) (string, int64, tlog.Hash, error) { return "", 0, tlog.Hash{}, err }
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return fail(err)
	}
	signed, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return fail(err)
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return fail(fmt.Errorf("no checkpoint of this log: %q", signed.Text))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return fail(err)
	}
	var root tlog.Hash
	decoded, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || copy(root[:], decoded) != len(root) {
		return fail(fmt.Errorf("no root: %q: %v", lines[2], err))
	}
	return lines[0], size, root, nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
