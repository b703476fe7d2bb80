# Headers as doxygen reads them: the comment at the top becomes the file's, and what is set in by two spaces and more is
# code, as it is meant, unless it goes on an item of a list. Doxygen takes Catch2's templates
# only inside their namespace.
function code_in(comment, text, before) {  # lines of a comment; `text` is what follows the slashes
  if (text ~ /^ [-*] / || text ~ /^ [0-9]+\. /) { in_list = 1; in_code = 0 }
  else if (text ~ /^ ? ?$/) { in_list = 0; in_code = 0 }
  else if (text !~ /^   /) { in_list = 0; if (in_code) print before "///"; in_code = 0 }
  else if (!in_list) {
    if (!in_code) print before "///"
    in_code = 1
    text = "     " text
  }
  gsub(/\\/, "\\\\\\\\", text)  # no header has commands of doxygen's
  print before "///" text
}
/^template <>$/ { held = $0; next }
/^struct Catch::/ { sub(/Catch::/, ""); held = "namespace Catch { " held; in_catch = 1 }
held != "" { print held; held = "" }
in_catch && /^};/ { $0 = "}; }"; in_catch = 0 }
FNR == 1 { at_top = 1; in_list = 0; in_code = 0; print "/// @file" }
at_top && /^\/\// { text = $0; sub(/^\/\//, "", text); code_in("//", text, ""); next }
{ if (at_top) print ""; at_top = 0 }
/^ *\/\/\/($|[^<\/])/ {
  before = $0; sub(/\/\/\/.*/, "", before)
  text = $0; sub(/^ *\/\/\//, "", text)
  code_in("///", text, before)
  next
}
{ in_list = 0; in_code = 0; print }
