#!/bin/sh
# One image, two ways to run: Lambda sets AWS_LAMBDA_RUNTIME_API; everything else is the command line.
# Each way ends in `exec`, which makes python process 1, so that SIGTERM reaches it.
if [ -n "${AWS_LAMBDA_RUNTIME_API:-}" ]; then
    exec python -m awslambdaric omezarr_proc.handler.handler
fi
set -- python -m omezarr_proc "$@"
[ "$(id -u)" = 0 ] || exec "$@" # somebody was chosen with --user

# Root becomes the owner of OUTPUT_DIR. One that is not there yet is made in the nearest folder that is, whose owner may do so.
# An object store asks for credentials, not for users: there root becomes nobody.
folder=${OUTPUT_DIR:-} previous= flag= words=0
for word; do
    case $previous in --output-dir | -o) folder=$word flag=1 ;; esac
    case $word in
    --output-dir=*) folder=${word#*=} flag=1 ;;
    -o?*) folder=${word#-o} flag=1 ;;
    --) break ;;
    -*) ;;
    *) # no flag; no value of one either, unless the flag before it takes none
        case $previous in
        --quiet | --verbose | --dry-run | --use-existing-resolutions | --preview | --ozx | --verify | --certificate | --asset-properties | --*=* | [!-]* | "")
            words=$((words + 1)) last=$word
            ;;
        esac
        ;;
    esac
    previous=$word
done
[ -n "$flag" ] || [ "$words" != 3 ] || [ -f "$last" ] || folder=$last # python, a file or a folder, and OUTPUT
[ -n "$folder" ] || exec "$@"
case $folder in
[A-Za-z]*://*)
    owner=65534:65534 reason="which needs no rights for $folder"
    ;;
*)
    while ! [ -e "$folder" ]; do folder=$(dirname -- "$folder"); done
    owner=$(stat -L -c %u:%g -- "$folder") || exec "$@" # which says what is wrong with it
    reason="who owns $folder"
    ;;
esac
user=${owner%:*} group=${owner#*:}
[ "$user" != 0 ] || exec "$@"
[ "$group" != 0 ] || group=$user # root's group goes too
become="setpriv --reuid $user --regid $group --clear-groups --no-new-privs"
if ! $become true; then
    echo "omezarr-proc: root cannot become $user:$group, $reason: start with --user $user:$group, or with the capabilities SETUID and SETGID" >&2
    exit 2
fi
exec $become "$@"
