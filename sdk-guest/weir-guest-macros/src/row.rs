//! `#[derive(Row)]`.

use proc_macro2::{Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, GenericParam, Ident, Lifetime, LitStr, Result, Type};

/// Columns of one tuple: the standard library implements its traits for tuples of up to this size.
const TUPLE: usize = 12;

pub(crate) fn expand(item: DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &item.data else {
        return Err(Error::new(item.ident.span(), "a row is a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(
            item.ident.span(),
            "a row has named fields: they are its columns",
        ));
    };
    if fields.named.is_empty() {
        return Err(Error::new(item.ident.span(), "a row has at least one column"));
    }
    let own = lifetime(&item)?;
    let this = &item.ident;
    // What rows are read from needs a lifetime, whether the struct has one or not.
    let source = own.clone().unwrap_or_else(|| Lifetime::new("'__weir", this.span()));
    let generics = own.as_ref().map(|own| quote!(<#own>));
    let columns = fields.named.iter().map(Column::new).collect::<Result<Vec<_>>>()?;
    let (idents, types): (Vec<_>, Vec<_>) = columns.iter().map(|column| (column.ident, column.ty)).unzip();
    let names: Vec<&String> = columns.iter().map(|column| &column.name).collect();
    let count = u32::try_from(columns.len()).map_err(|_| Error::new(this.span(), "too many columns"))?;
    let positions: Vec<Literal> = (0..columns.len()).map(Literal::usize_unsuffixed).collect();
    // Located at the types, so that a type that is no column is shown where it is written.
    let read = |ty: &&Type| quote_spanned!(ty.span()=> <#ty as ::weir_guest::Read<#source>>);
    let reads: Vec<TokenStream> = types.iter().map(read).collect();
    let (builder, paths) = builder(&types, 0);
    let declare_read = quote!(#(#reads::declare(#names, false, fields);)*);
    let declares = types
        .iter()
        .zip(&names)
        .map(|(ty, name)| quote_spanned!(ty.span()=> <#ty as ::weir_guest::Write>::declare(#name, false, fields);));
    let declare_write = quote!(#(#declares)*);
    let declare_struct = quote! {
        ::weir_guest::__private::declare(name, ::weir_guest::__private::DataType::Struct, nullable, #count, fields);
    };
    let schema = quote!(&mut ::std::vec::Vec<::weir_guest::__private::Field>);
    Ok(quote! {
        impl<#source> ::weir_guest::Read<#source> for #this #generics {
            type Column = ::weir_guest::__private::StructColumn<
                #source, (#(#reads::Column,)*)
            >;
            type Block = (#(#reads::Block,)*);

            fn declare(name: &str, nullable: bool, fields: #schema) {
                #declare_struct
                #declare_read
            }

            fn column(
                cursor: &mut ::weir_guest::__private::Cursor<#source>,
            ) -> ::core::result::Result<Self::Column, ::std::string::String> {
                let (_, validity) = cursor.node()?;
                let fields = (#(#reads::column(cursor)?,)*);
                ::core::result::Result::Ok(::weir_guest::__private::StructColumn { validity, fields })
            }

            fn validity(column: &Self::Column) -> ::core::option::Option<::weir_guest::__private::Bits<#source>> {
                column.validity
            }

            #[inline]
            fn get(column: &Self::Column, row: usize) -> Self {
                Self {
                    #(#idents: #reads::get(&column.fields.#positions, row),)*
                }
            }

            #[inline]
            fn block(column: &Self::Column, start: usize) -> Self::Block {
                (#(#reads::block(&column.fields.#positions, start),)*)
            }

            #[inline]
            fn of(block: Self::Block, i: usize) -> Self {
                Self {
                    #(#idents: #reads::of(block.#positions, i),)*
                }
            }
        }

        impl #generics ::weir_guest::Write for #this #generics {
            type Builder = ::weir_guest::__private::StructBuilder<#builder>;

            fn declare(name: &str, nullable: bool, fields: #schema) {
                #declare_struct
                #declare_write
            }

            #[inline]
            fn push(self, builder: &mut Self::Builder) {
                #(::weir_guest::Write::push(self.#idents, &mut builder.fields #paths);)*
                builder.pushed();
            }
        }

        impl #generics ::weir_guest::Row for #this #generics {
            fn declare_columns(fields: #schema) {
                #declare_write
            }

            fn into_batch(builder: Self::Builder) -> ::weir_guest::__private::Batch {
                ::weir_guest::__private::row_batch(builder)
            }
        }

        impl #generics ::weir_guest::Item for #this #generics {}
    })
}

/// The type of the fields' builders, and how each is reached from it.
fn builder(types: &[&Type], depth: usize) -> (TokenStream, Vec<TokenStream>) {
    let (first, rest) = types.split_at(types.len().min(TUPLE));
    let builders = first
        .iter()
        .map(|ty| quote_spanned!(ty.span()=> <#ty as ::weir_guest::Write>::Builder));
    let tuple = quote!((#(#builders,)*));
    let way = std::iter::repeat_n(quote!(.1), depth).collect::<TokenStream>();
    let last = if rest.is_empty() { quote!() } else { quote!(.0) };
    let mut paths: Vec<TokenStream> = (0..first.len())
        .map(|position| {
            let position = Literal::usize_unsuffixed(position);
            quote!(#way #last . #position)
        })
        .collect();
    if rest.is_empty() {
        return (tuple, paths);
    }
    let (others, more) = builder(rest, depth + 1);
    paths.extend(more);
    (quote!(::weir_guest::__private::Pair<#tuple, #others>), paths)
}

/// The one lifetime that a row may have.
fn lifetime(item: &DeriveInput) -> Result<Option<Lifetime>> {
    let mut found = None;
    for param in &item.generics.params {
        match param {
            GenericParam::Lifetime(param) if found.is_none() => found = Some(param.lifetime.clone()),
            GenericParam::Lifetime(_) => return Err(Error::new(param.span(), "a row has at most one lifetime")),
            _ => {
                return Err(Error::new(
                    param.span(),
                    "a row cannot be generic: its columns have one type each",
                ));
            }
        }
    }
    Ok(found)
}

struct Column<'a> {
    ident: &'a Ident,
    ty: &'a Type,
    name: String,
}

impl<'a> Column<'a> {
    fn new(field: &'a Field) -> Result<Self> {
        let ident = field
            .ident
            .as_ref()
            .ok_or_else(|| Error::new(field.span(), "a column needs a name"))?;
        let mut name = ident.unraw().to_string();
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("row")) {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("name") {
                    return Err(meta.error("expected `name = \"...\"`"));
                }
                name = meta.value()?.parse::<LitStr>()?.value();
                Ok(())
            })?;
        }
        Ok(Self {
            ident,
            ty: &field.ty,
            name,
        })
    }
}
