# Writes every file of $1 in the ways of dash or busybox into $2/$3/FORM.
in=$1 out=$2 shell=$3
form() { dir=$out/$shell/$1; mkdir -p "$dir"; }

form 'set -x'
for file in "$in"/*; do
    value=$(cat "$file")
    (exec 2>"$dir/${file##*/}"; set -x; : --password "$value")
done
form 'export -p'
for file in "$in"/*; do
    (export VALUE="$(cat "$file")"; export -p) | grep -A 99 '^export VALUE' >"$dir/${file##*/}"
done
form 'set'
for file in "$in"/*; do
    value=$(cat "$file")
    (set) | grep -A 99 '^value=' >"$dir/${file##*/}"
done
