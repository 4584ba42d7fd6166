package decisionlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
)

// maxLine bounds one line of a log, in bytes. A record of an endpoint with all the
// labels that it may have is well within it.
const maxLine = 1 << 20

// LineError says that a line is no record. Reading goes on behind it.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong with the line.
func (e *LineError) Unwrap() error { return e.Err }

// Read returns the records of a log one after another. With an error the Record is
// the zero one: a *LineError, or what ended reading early.
func Read(in io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		lines := bufio.NewReaderSize(in, maxLine)
		for n := 1; ; n++ {
			line, err := lines.ReadSlice('\n')
			long := errors.Is(err, bufio.ErrBufferFull)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = lines.ReadSlice('\n')
			}
			var r Record
			var wrong error
			switch {
			case long:
				wrong = fmt.Errorf("it has more than %d bytes", maxLine)
			case len(line) > 0:
				r, wrong = Parse(line)
			}
			if wrong != nil {
				wrong = &LineError{Line: n, Err: wrong}
			}
			if (long || len(line) > 0) && !yield(r, wrong) {
				return
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(Record{}, fmt.Errorf("read decision log: %w", err))
				}
				return
			}
		}
	}
}
