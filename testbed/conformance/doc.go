// Package conformance holds the suite that says what the YAML means: rows
// written from the specification alone, named after its sections, each with a
// twin that differs in one token and has the opposite result.
//
// A row of testdata/*.txtar is the archive's files that share the path up to the
// first slash:
//
//	-- ROW/PATH.yaml --   a file of the tree, over base.txtar's of the same path;
//	                      ROW/endpoints.yaml is what matrix is asked about
//	-- ROW/want --        what must come of it, one fact a line
//	-- ROW/twin --        OLD => NEW, then what must come of that
//
// OLD stands once in the row: in a file, in a file's path or in the time asked
// for; or else in base.txtar.
//
// Facts are
//
//	ok                         no problem, no warning, and a policy
//	loads                      the tree is read without errors; no policy is made
//	matrix                     the endpoints file is right too, and has a matrix
//	error FILE:LINE WORDS      every error is listed, and says WORDS; LINE may be *
//	warning FILE:LINE WORDS    this warning is among the problems
//	refused FILE:LINE WORDS    the YAML is right, and an Assertion broken
//	at TIME                    when, for the pairs; 2026-01-01 if it isn't said
//	A > B PORT: VERDICT REASON RULE AT
//	                           what matrix answers; - is "", * anything, and
//	                           VERDICT none that there is no such pair
//
// In a file of a tree, a line "KIND PATH: SPEC" stands for the object's document,
// so that its line is that line; SPEC may go on in indented lines. A file "!fifo",
// "!socket", "!device", "!symlink" or "!directory" is no regular file,
// "!copies N TEXT" is N files whose TEXT has the number for the first #.
// %{N*TEXT}% is TEXT N times, %{x:HEX}% bytes.
//
// The package also computes the matrices of examples/, which each directory
// there promises in its matrix.json.
package conformance
