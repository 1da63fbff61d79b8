#!/bin/sh
# Makes an authority of the cluster's own and a certificate that it signs, in a folder: ca.crt, ca.key, tls.crt, tls.key.
# The certificate is the password of scheduler, workers and clients alike; ca.key is needed for the next one only.
set -eu
umask 077
folder=${1:?usage: certificates.sh FOLDER [DAYS]}
days=${2:-365}
mkdir -p "$folder"
cd "$folder"

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

if [ ! -e ca.crt ]; then
    key ca.key
    openssl req -x509 -new -key ca.key -subj /CN=rsmtl-authority -days 3650 -out ca.crt \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
fi
key new.key
openssl req -new -key new.key -subj /CN=rsmtl -addext subjectAltName=DNS:rsmtl-scheduler,DNS:localhost \
    -addext extendedKeyUsage=serverAuth,clientAuth |
    openssl x509 -req -CA ca.crt -CAkey ca.key -days "$days" -copy_extensions copy -out new.crt
mv new.key tls.key
mv new.crt tls.crt
