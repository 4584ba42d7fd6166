package spec

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// extension is what the name of a file ends in that is read.
const extension = ".yaml"

// Load reads the tree of fsys and returns the network that it asks for, and
// what is wrong with it by file and line. With an error among the problems the
// Network is nil; with warnings alone, or none, it isn't. The same tree gives
// the same answer. fsys must not follow symbolic links.
func Load(fsys fs.FS) (*Network, []Problem) {
	l := loader{fsys: fsys}
	return l.load()
}

func (l *loader) load() (*Network, []Problem) {
	names := l.names()
	if len(names) > MaxFiles {
		l.abort(Pos{names[MaxFiles], 1}, "the tree has more than %d files; put more objects into a file", MaxFiles)
		names = names[:MaxFiles]
	}
	for _, name := range names {
		if !l.file(name) {
			break
		}
	}
	net := l.network()
	if l.errors > 0 {
		net = nil
	}
	return net, l.sorted()
}

// loader is one run of Load.
type loader struct {
	problems
	fsys fs.FS
	content
	bytes  int              // read so far
	buffer bytes.Buffer     // of the file that was read last
	named  []references     // of all files that are read
	before map[string]*file // as the last run of a Loader kept them
	files  map[string]*file // as this run keeps them; nil: it doesn't
}

// content is what files hold: of one, or of all that are read so far but for
// refs, which are many and stay with their file.
type content struct {
	tokens  int
	rules   int
	objects []*object
	refs    references
	vias    []gatewayRef // names of Gateways

	operatorCIDRs []netip.Prefix // as Network has them, but unsorted
}

// names returns the names of all files to read, in order.
func (l *loader) names() []string {
	var names []string
	err := fs.WalkDir(l.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			l.err(Pos{shownName(name), 1}, "it can't be read: %v; see its permissions", err)
			return skip(d)
		case name == ".":
			return nil
		case strings.HasPrefix(d.Name(), "."):
			return skip(d)
		case !utf8.ValidString(d.Name()) || strings.ContainsFunc(d.Name(), unicode.IsControl):
			l.err(Pos{shownName(name), 1}, "the name %s has characters that are not printable; rename it", quote(d.Name()))
			return skip(d)
		case !strings.HasSuffix(name, extension):
			return nil
		case !d.Type().IsRegular():
			l.notRegular(name, d.Type())
			return skip(d)
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		l.err(Pos{".", 1}, "the tree can't be read: %v; see its permissions", err)
	}
	slices.Sort(names)
	return names
}

// skip leaves out d and, if it is a directory, what is in it.
func skip(d fs.DirEntry) error {
	if d != nil && d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// shownName returns name as it can stand in one line of a report.
func shownName(name string) string {
	q := strconv.Quote(name)
	return q[1 : len(q)-1]
}

func (l *loader) notRegular(name string, mode fs.FileMode) {
	what := "a special file"
	switch {
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeSymlink != 0:
		what = "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		what = "a FIFO"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	}
	l.err(Pos{name, 1}, "%q is %s; put a regular file there, or give it a name that doesn't end in %s",
		name, what, extension)
}

// file reads one file. It returns false if the tree has used up a limit, so
// that no further file must be read.
func (l *loader) file(name string) bool {
	at := Pos{name, 1}
	data, err := l.read(name)
	if err != nil {
		l.err(at, "%v", err)
		return true
	}
	if l.bytes += len(data); l.bytes > MaxTreeBytes {
		l.abort(at, "the tree holds more than %d bytes; remove what it doesn't need", MaxTreeBytes)
		return false
	}
	if l.files == nil {
		more := l.parse(name, data)
		l.setRefsAside()
		return more
	}
	if f := l.before[name]; f != nil && bytes.Equal(f.bytes, data) && l.fits(&f.content) {
		l.files[name] = f
		l.add(&f.content)
		return true
	}
	before, said := l.content, l.errors+l.warnings
	more := l.parse(name, data)
	if l.errors+l.warnings == said {
		l.keep(name, data, before)
	}
	l.setRefsAside()
	return more
}

// parse reads the objects of a file. It returns what file does.
func (l *loader) parse(name string, data []byte) bool {
	at := Pos{name, 1}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if line, text := badCharacter(data); line > 0 {
		l.err(Pos{name, line}, "%s", text)
		return true
	}
	used := scan(data)
	if l.tokens += used.tokens; l.tokens > MaxTokens {
		l.abort(at, "the tree holds more than %d tokens; remove what it doesn't need", MaxTokens)
		return false
	}
	if used.excess != "" {
		l.err(Pos{name, used.excessLine}, "%s", used.excess)
		return true
	}
	nodes := l.documents(name, data, used)
	l.tokens += max(0, nodes-used.tokens)
	return true
}

// read returns the content of a file that is within its limit. It is good until
// the next file is read.
func (l *loader) read(name string) ([]byte, error) {
	f, err := l.fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("it can't be read: %w; see its permissions", err)
	}
	defer f.Close()
	l.buffer.Reset()
	if _, err := l.buffer.ReadFrom(io.LimitReader(f, MaxFileBytes+1)); err != nil {
		return nil, fmt.Errorf("it can't be read: %w; see its permissions", err)
	}
	if l.buffer.Len() > MaxFileBytes {
		return nil, fmt.Errorf("the file is larger than %d bytes; split it", MaxFileBytes)
	}
	return l.buffer.Bytes(), nil
}

// badCharacter returns the line of the first thing that is not allowed in a
// file, and what it is; or 0. Line and paragraph separators count as control
// characters, since YAML would count lines by them and editors don't.
func badCharacter(data []byte) (line int, text string) {
	line = 1
	for i := 0; i < len(data); {
		c := data[i]
		if c < utf8.RuneSelf {
			if c == '\n' || c == '\r' && (i+1 == len(data) || data[i+1] != '\n') {
				line++
			} else if c < ' ' && c != '\t' && c != '\r' || c == 0x7f {
				return line, fmt.Sprintf("there is the control character %U; remove it", c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return line, fmt.Sprintf("the byte %#02x is not UTF-8; save the file as UTF-8", c)
		case isControl(r) || r == '\ufeff':
			return line, fmt.Sprintf("there is the control character %U; remove it", r)
		}
		i += n
	}
	return 0, ""
}

func isControl(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}
