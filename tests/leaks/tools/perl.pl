# Writes every file of $ARGV[0] by modules of Perl into $ARGV[1]/perl/FORM.
use strict;
use warnings;
use Data::Dumper;
use JSON::PP;
use MIME::Base64;
use MIME::QuotedPrint;
use URI::Escape;
use Encode qw(decode_utf8);

my %forms = (
    'Data::Dumper' => sub { Dumper({ password => $_[0] }) },
    'Data::Dumper, Useqq' => sub { local $Data::Dumper::Useqq = 1; Dumper({ password => $_[0] }) },
    'Data::Dumper of characters' => sub { Dumper({ password => decode_utf8($_[0]) }) },
    'encode_base64' => sub { encode_base64($_[0]) },
    'uri_escape' => sub { uri_escape($_[0]) },
    'JSON::PP' => sub { JSON::PP->new->utf8->encode({ token => decode_utf8($_[0]) }) },
    'JSON::PP, ascii' => sub { JSON::PP->new->ascii->encode({ token => decode_utf8($_[0]) }) },
    'quotemeta' => sub { quotemeta($_[0]) },
    'unpack H*' => sub { unpack('H*', $_[0]) },
);
my ($in, $out) = @ARGV;
mkdir "$out/perl";
mkdir "$out/perl/$_" for keys %forms;
for my $path (glob "$in/*") {
    my ($name) = $path =~ m{([^/]+)$};
    open my $file, '<:raw', $path or die;
    local $/;
    my $value = <$file>;
    for my $form (keys %forms) {
        open my $written, '>:raw', "$out/perl/$form/$name" or die;
        print $written $forms{$form}->($value);
    }
}
