# Writes every file of $1 in the ways of bash into $2/bash/FORM.
in=$1 out=$2
form() { dir=$out/bash/$1; mkdir -p "$dir"; }
inputs=("$in"/*)

form 'set -x'
for file in "${inputs[@]}"; do
    value=$(<"$file")
    (exec 2>"$dir/${file##*/}"; set -x; : --password "$value")
done
form 'set -x, assignment'
for file in "${inputs[@]}"; do
    value=$(<"$file")
    (exec 2>"$dir/${file##*/}"; set -x; copy=$value)
done
form 'printf %q'
for file in "${inputs[@]}"; do
    printf 'export TOKEN=%q\n' "$(<"$file")" >"$dir/${file##*/}"
done
form 'export -p'
for file in "${inputs[@]}"; do
    (export VALUE="$(<"$file")"; export -p) | grep -A 99 'declare -x VALUE' >"$dir/${file##*/}"
done
form 'declare -p'
for file in "${inputs[@]}"; do
    list=("$(<"$file")" second)
    declare -p list >"$dir/${file##*/}"
done
form '${v@Q}'
for file in "${inputs[@]}"; do
    value=$(<"$file")
    echo "${value@Q}" >"$dir/${file##*/}"
done
form '${v@A}'
for file in "${inputs[@]}"; do
    value=$(<"$file")
    echo "${value@A}" >"$dir/${file##*/}"
done
form 'set'
for file in "${inputs[@]}"; do
    value=$(<"$file")
    (set) | grep -A 99 '^value=' >"$dir/${file##*/}"
done
form 'trap'
for file in "${inputs[@]}"; do
    (trap "true $(<"$file")" USR1; trap) >"$dir/${file##*/}"
done
form 'here-document'
for file in "${inputs[@]}"; do
    value=$(<"$file")
    cat >"$dir/${file##*/}" <<EOF
password = $value
EOF
done
form '<<<'
for file in "${inputs[@]}"; do
    value=$(<"$file")
    cat >"$dir/${file##*/}" <<<"$value"
done
form 'history'
set -o history
HISTSIZE=10
for file in "${inputs[@]}"; do
    (history -s "login --password '$(<"$file")'"; history -w "$dir/${file##*/}")
done
set +o history
