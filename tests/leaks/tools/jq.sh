# Writes every file of $1 by jq into $2/jq/FORM.
in=$1 out=$2
forms=(tojson @json @base64 @uri @html @sh @csv @tsv @text)
for form in "${forms[@]}"; do mkdir -p "$out/jq/$form"; done
mkdir -p "$out/jq/jq -a"
filter='[$value] as $row | '
for form in "${forms[@]}"; do
    case $form in
        @csv | @tsv) filter+="(\$row | $form)" ;;
        *) filter+="(\$value | $form)" ;;
    esac
    filter+=', "\u001e", '
done
for file in "$in"/*; do
    name=${file##*/}
    {
        for form in "${forms[@]}"; do
            IFS= read -r -d $'\x1e' text
            printf '%s' "$text" >"$out/jq/$form/$name"
        done
    } < <(jq -n -j --rawfile value "$file" "${filter%, }")
    jq -a -n --rawfile value "$file" '{token: $value}' >"$out/jq/jq -a/$name"
done
